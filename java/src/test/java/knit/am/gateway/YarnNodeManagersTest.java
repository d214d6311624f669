package knit.am.gateway;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import knit.am.Specs;
import knit.am.util.ManualClock;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.ipc.Server;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.yarn.api.ContainerManagementProtocol;
import org.apache.hadoop.yarn.api.protocolrecords.GetContainerStatusesResponse;
import org.apache.hadoop.yarn.api.protocolrecords.StartContainersRequest;
import org.apache.hadoop.yarn.api.protocolrecords.StartContainersResponse;
import org.apache.hadoop.yarn.api.records.Container;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.ContainerState;
import org.apache.hadoop.yarn.api.records.ContainerStatus;
import org.apache.hadoop.yarn.api.records.NodeId;
import org.apache.hadoop.yarn.api.records.Priority;
import org.apache.hadoop.yarn.api.records.Resource;
import org.apache.hadoop.yarn.api.records.SerializedException;
import org.apache.hadoop.yarn.api.records.Token;
import org.apache.hadoop.yarn.client.api.NMTokenCache;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.exceptions.YarnException;
import org.apache.hadoop.yarn.ipc.YarnRPC;
import org.apache.hadoop.yarn.security.AMRMTokenIdentifier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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
      YarnNodeManagers nodes = new YarnNodeManagers(configuration, containers, none(), yarn -> new byte[32],
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

  /** A NodeManager that has a container already, and says so in words of its own. */
  private static Object answer(Method method, ContainerId id, boolean there) {
    Map<ContainerId, SerializedException> failed = new HashMap<>();
    switch (method.getName()) {
      case "startContainers":
        failed.put(id, SerializedException.newInstance(new YarnException("Attempt to relaunch the same container with id " + id)));
        return StartContainersResponse.newInstance(new HashMap<>(), new ArrayList<>(), failed);
      case "getContainerStatuses":
        List<ContainerStatus> known = new ArrayList<>();
        if (there) {
          known.add(ContainerStatus.newInstance(id, ContainerState.RUNNING, "", 0));
        } else {
          failed.put(id, SerializedException.newInstance(new YarnException("it is not handled by this NodeManager")));
        }
        return GetContainerStatusesResponse.newInstance(known, failed);
      default:
        throw new UnsupportedOperationException(method.getName());
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void whatIsRefusedIsStartedIfItIsThere(boolean there) throws Exception {
    ContainerId id = ContainerId.fromString(YARN);
    Object node = Proxy.newProxyInstance(getClass().getClassLoader(), new Class<?>[] {ContainerManagementProtocol.class},
        (proxy, method, arguments) -> answer(method, id, there));
    Configuration configuration = new YarnConfiguration();
    Server server = YarnRPC.create(configuration).getServer(ContainerManagementProtocol.class, node,
        new InetSocketAddress("127.0.0.1", 0), configuration, null, 1);
    server.start();
    try {
      String address = "127.0.0.1:" + server.getListenerAddress().getPort();
      Token token = Token.newInstance(new byte[0], "NMToken", new byte[0], address);
      NMTokenCache.setNMToken(address, token);
      Map<String, Container> containers = new HashMap<>();
      containers.put(YARN, Container.newInstance(id, NodeId.fromString(address), address, Resource.newInstance(1, 1),
          Priority.newInstance(0), token));
      YarnNodeManagers nodes = new YarnNodeManagers(configuration, containers, none(), yarn -> new byte[32],
          Collections.emptyMap());
      Attempt start = () -> nodes.start(YARN, Specs.of(1, 0).services.get("main"), new HashMap<>());
      if (there) {
        start.make();
      } else {
        assertTrue(assertThrows(IOException.class, start::make).toString().contains("Attempt to relaunch"));
      }
    } finally {
      server.stop();
    }
  }

  private static HadoopDelegationTokens none() {
    return new HadoopDelegationTokens(UserGroupInformation.createRemoteUser("alice"), new FakeTokenFolder(), new ManualClock());
  }

  @Test
  void aContainerStartedLaterGetsTheNewerTokens() throws Exception {
    List<Credentials> given = new ArrayList<>();
    Object node = Proxy.newProxyInstance(getClass().getClassLoader(), new Class<?>[] {ContainerManagementProtocol.class},
        (proxy, method, arguments) -> {
          ByteBuffer tokens = ((StartContainersRequest) arguments[0]).getStartContainerRequests().get(0).getContainerLaunchContext()
              .getTokens();
          Credentials credentials = new Credentials();
          byte[] bytes = new byte[tokens.remaining()];
          tokens.get(bytes);
          credentials.readTokenStorageStream(new DataInputStream(new ByteArrayInputStream(bytes)));
          given.add(credentials);
          return StartContainersResponse.newInstance(new HashMap<>(), new ArrayList<>(), new HashMap<>());
        });
    Configuration configuration = new YarnConfiguration();
    Server server = YarnRPC.create(configuration).getServer(ContainerManagementProtocol.class, node,
        new InetSocketAddress("127.0.0.1", 0), configuration, null, 1);
    server.start();
    try {
      String address = "127.0.0.1:" + server.getListenerAddress().getPort();
      Token token = Token.newInstance(new byte[0], "NMToken", new byte[0], address);
      NMTokenCache.setNMToken(address, token);
      Map<String, Container> containers = new HashMap<>();
      containers.put(YARN, Container.newInstance(ContainerId.fromString(YARN), NodeId.fromString(address), address,
          Resource.newInstance(1, 1), Priority.newInstance(0), token));
      ManualClock clock = new ManualClock();
      FakeTokenFolder folder = new FakeTokenFolder();
      UserGroupInformation alice = UserGroupInformation.createRemoteUser("alice");
      alice.addToken(new Text("hdfs"), HadoopDelegationTokensTest.hdfs(clock.now() - 1000));
      alice.addToken(new Text("am"), new org.apache.hadoop.security.token.Token<>(new byte[1], new byte[1],
          AMRMTokenIdentifier.KIND_NAME, new Text("10.0.0.1:8030")));
      HadoopDelegationTokens tokens = new HadoopDelegationTokens(alice, folder, clock);
      YarnNodeManagers nodes = new YarnNodeManagers(configuration, containers, tokens, yarn -> new byte[32],
          Collections.emptyMap());
      nodes.start(YARN, Specs.of(1, 0).services.get("main"), new HashMap<>());
      folder.put(HadoopDelegationTokensTest.file("hdfs", HadoopDelegationTokensTest.hdfs(clock.now())));
      tokens.read();
      nodes.start(YARN, Specs.of(1, 0).services.get("main"), new HashMap<>());
      for (int i = 0; i < 2; i++) {
        assertEquals(1, given.get(i).numberOfTokens());
        assertEquals(HadoopDelegationTokensTest.hdfs(clock.now() - 1000 * (1 - i)), given.get(i).getToken(new Text("hdfs")));
        assertEquals(32, given.get(i).getSecretKey(new Text("knit.token")).length);
      }
    } finally {
      server.stop();
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
