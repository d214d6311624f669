package knit.am.gateway;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.yarn.api.records.Container;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.NodeId;
import org.apache.hadoop.yarn.api.records.Priority;
import org.apache.hadoop.yarn.api.records.Resource;
import org.apache.hadoop.yarn.api.records.Token;
import org.apache.hadoop.yarn.client.api.NMTokenCache;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.junit.jupiter.api.Test;

/** Hadoop's client as we set it up, against a port that takes no connections. */
class YarnNodeManagersTest {
  private static final String YARN = "container_1700000000000_0001_01_000002";

  @Test
  void aNodeThatDropsConnectionsIsGivenUpWithinSeconds() throws Exception {
    List<Socket> filling = new ArrayList<>();
    try (ServerSocket deaf = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
      fill(deaf, filling);
      String node = "127.0.0.1:" + deaf.getLocalPort();
      Map<String, Container> containers = new HashMap<>();
      ContainerId id = ContainerId.fromString(YARN);
      Token token = Token.newInstance(new byte[0], "NMToken", new byte[0], node);
      NMTokenCache.setNMToken(node, token);
      containers.put(YARN, Container.newInstance(id, NodeId.fromString(node), node, Resource.newInstance(1, 1),
          Priority.newInstance(0), token));
      Configuration configuration = new YarnConfiguration();
      configuration.setInt("ipc.client.connect.timeout", YarnNodeManagers.CONNECT);
      YarnNodeManagers nodes = new YarnNodeManagers(configuration, containers, new Credentials(), yarn -> new byte[32],
          Collections.emptyMap());
      for (Attempt attempt : new Attempt[] {() -> nodes.stop(YARN), () -> nodes.signal(YARN)}) {
        long begin = System.nanoTime();
        assertThrows(NodeManagers.Unreachable.class, attempt::make);
        double took = (System.nanoTime() - begin) / 1e9;
        assertTrue(took > 2.5 && took < 10, "given up after " + took + " s");
      }
    } finally {
      for (Socket socket : filling) {
        socket.close();
      }
    }
  }

  private interface Attempt {
    void make() throws IOException;
  }

  /** Connect until the queue of connections is full: Linux drops what comes then. */
  private static void fill(ServerSocket deaf, List<Socket> filling) throws IOException {
    while (true) {
      Socket socket = new Socket();
      filling.add(socket);
      try {
        socket.connect(new InetSocketAddress("127.0.0.1", deaf.getLocalPort()), 500);
      } catch (SocketTimeoutException full) {
        return;
      }
      assertEquals(true, filling.size() < 100, "its queue is never full");
    }
  }
}
