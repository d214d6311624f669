package knit.am.gateway;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import knit.am.Specs;
import knit.am.core.model.Spec;
import org.junit.jupiter.api.Test;

/** Looks at real ports on the loopback. */
class NetworkProbesTest {
  private final BlockingQueue<Boolean> answers = new LinkedBlockingQueue<>();
  private final NetworkProbes probes = new NetworkProbes();

  NetworkProbesTest() throws IOException {}

  /** Answers each connection with a text some time after it came. */
  private static final class Server implements AutoCloseable {
    final ServerSocket socket;
    final List<Socket> open = new CopyOnWriteArrayList<>();
    final LinkedBlockingQueue<Long> due = new LinkedBlockingQueue<>();
    final LinkedBlockingQueue<Socket> next = new LinkedBlockingQueue<>();

    /** @param text null for none, ever */
    Server(String text, long delay) throws IOException {
      socket = new ServerSocket(0, 2_000, InetAddress.getByName("127.0.0.1"));
      thread(() -> {
        while (true) {
          Socket one = socket.accept();
          open.add(one);
          if (text != null) {
            due.add(System.nanoTime() + delay * 1_000_000);
            next.add(one);
          }
        }
      });
      thread(() -> {
        while (text != null) {
          Socket one = next.take();
          TimeUnit.NANOSECONDS.sleep(due.take() - System.nanoTime());
          one.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
          one.close();
        }
        return null;
      });
    }

    private static void thread(java.util.concurrent.Callable<Void> task) {
      Thread thread = new Thread(() -> {
        try {
          task.call();
        } catch (Exception closed) {
          // the test is over
        }
      });
      thread.setDaemon(true);
      thread.start();
    }

    @Override
    public void close() throws IOException {
      socket.close();
      for (Socket one : open) {
        one.close();
      }
    }
  }

  private static Spec.Readiness readiness(String kind, int port, long timeout) {
    String json = "{\"kind\":\"" + kind + "\",\"port\":" + port + (kind.equals("http") ? ",\"path\":\"/health?x=1\"" : "")
        + ",\"interval\":1000,\"timeout\":" + timeout + ",\"deadline\":0}";
    return Specs.of(Specs.service("main", 1, "readiness", json)).services.get("main").readiness;
  }

  private Boolean look(String kind, int port, long timeout) throws Exception {
    probes.probe("127.0.0.1", readiness(kind, port, timeout), answers::add);
    return answers.poll(20, TimeUnit.SECONDS);
  }

  @Test
  void whatIsReadyAndWhatIsNot() throws Exception {
    String[] texts = {"HTTP/1.1 200 OK\r\n\r\n", "true", "HTTP/1.0 399 x\r\n\r\n", "true", "HTTP/1.1 404 x\r\n\r\n", "false",
        "HTTP/1.1 500 x\r\n\r\n", "false", "SSH-2.0-OpenSSH_9", "false", "", "false", "HTTP/1.1 2", "false"};
    int port = 0;
    for (int i = 0; i < texts.length; i += 2) {
      try (Server server = new Server(texts[i], 0)) {
        port = server.socket.getLocalPort();
        assertEquals(Boolean.valueOf(texts[i + 1]), look("http", port, 5_000), texts[i]);
        assertEquals(true, look("tcp", port, 5_000));
      }
    }
    assertEquals(false, look("http", port, 5_000));
    assertEquals(false, look("tcp", port, 5_000));
    probes.probe("nowhere.invalid", readiness("tcp", port, 5_000), answers::add);
    assertEquals(false, answers.poll(60, TimeUnit.SECONDS));
  }

  @Test
  void oneThatDoesNotAnswerIsGivenUpInItsTime() throws Exception {
    try (Server silent = new Server(null, 0)) {
      long begin = System.nanoTime();
      assertEquals(false, look("http", silent.socket.getLocalPort(), 300));
      double took = (System.nanoTime() - begin) / 1e9;
      assertTrue(took > 0.29 && took < 10, took + " s");
      assertNull(answers.poll(), "answered twice");
    }
  }

  @Test
  void aThousandAreLookedAtInOneRound() throws Exception {
    try (Server slow = new Server("HTTP/1.1 200 OK\r\n\r\n", 1_000); Server silent = new Server(null, 0)) {
      Spec.Readiness hung = readiness("http", silent.socket.getLocalPort(), 30_000);
      Spec.Readiness good = readiness("http", slow.socket.getLocalPort(), 30_000);
      long begin = System.nanoTime();
      for (int i = 0; i < 500; i++) {
        probes.probe("127.0.0.1", hung, ready -> { });
        probes.probe("127.0.0.1", good, answers::add);
      }
      for (int i = 0; i < 500; i++) {
        assertEquals(true, answers.poll(20, TimeUnit.SECONDS), i + " were answered");
      }
      double took = (System.nanoTime() - begin) / 1e9;
      assertTrue(took < 10, took + " s");
    }
  }
}
