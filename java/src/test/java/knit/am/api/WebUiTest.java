package knit.am.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.Scanner;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import knit.am.EventLoopHarness;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The pages for people: who gets them, and what is passed on. */
class WebUiTest {
  private EventLoopHarness running;
  private boolean proxy = true;
  private String viewer = "alice";

  @BeforeEach
  void start() throws Exception {
    running = new EventLoopHarness(1);
    running.awaitRunning(1);
    WebUi website = new WebUi(EventLoopHarness.IDENTITY, new WebUi.Proxies() {
      @Override
      public boolean contains(InetAddress address) {
        return proxy;
      }

      @Override
      public String address() {
        return "http://rm:8088/proxy/application_1_0001";
      }
    }, user -> user.equals(viewer), running::post, running.clock);
    running.api.open(EventLoopHarness.IDENTITY, EventLoopHarness.SECRET, running::post, running.clock, website);
  }

  @AfterEach
  void stop() {
    running.close();
  }

  private HttpURLConnection ask(String method, String path, String user) throws Exception {
    URL url = new URL("http://127.0.0.1:" + running.api.port() + path);
    HttpURLConnection connection = (HttpURLConnection) url.openConnection();
    connection.setRequestMethod(method);
    connection.setInstanceFollowRedirects(false);
    connection.setRequestProperty("Cookie", "other=1; proxy-user=" + user);
    return connection;
  }

  private static String text(HttpURLConnection connection) throws Exception {
    InputStream in = connection.getResponseCode() < 400 ? connection.getInputStream() : connection.getErrorStream();
    Scanner scanner = new Scanner(in, "UTF-8").useDelimiter("\\A");
    return connection.getResponseCode() + " " + (scanner.hasNext() ? scanner.next() : "");
  }

  @Test
  void theProxysUserSeesIt() throws Exception {
    assertTrue(text(ask("GET", "/", "alice")).contains("<title>Knit</title>"));
    assertTrue(text(ask("GET", "/ui/knit.js", "alice")).startsWith("200 \"use strict\""));
    assertTrue(text(ask("GET", "/ui/knit.css", "alice")).startsWith("200 :root"));
    String state = text(ask("GET", "/ui/state.json", "alice"));
    assertTrue(state.startsWith("200 {\"now\":"), state);
    assertTrue(state.contains("\"id\":\"main_0\""), state);
    assertTrue(text(ask("GET", "/nowhere", "alice")).startsWith("404"));
    assertTrue(text(ask("GET", "/ui/../knit.js", "alice")).startsWith("404"));
  }

  @Test
  void othersDoNot() throws Exception {
    for (String path : new String[] {"/", "/ui/state.json", "/pages/x/"}) {
      assertTrue(text(ask("GET", path, "mallory")).startsWith("403"), path);
      assertTrue(text(ask("GET", path, "")).startsWith("403"), path);
    }
  }

  @Test
  void whoIsNotTheProxyIsSentThereWhateverItsCookieSays() throws Exception {
    proxy = false;
    HttpURLConnection asked = ask("GET", "/ui/state.json", "alice");
    assertEquals(302, asked.getResponseCode());
    assertEquals("http://rm:8088/proxy/application_1_0001/ui/state.json", asked.getHeaderField("Location"));
  }

  @Test
  void pagesAreOnlyLookedAt() throws Exception {
    assertTrue(text(ask("POST", "/", "alice")).startsWith("405"));
    assertTrue(text(ask("PUT", "/ui/state.json", "alice")).startsWith("405"));
  }

  @Test
  void aContainersPageIsPassedOnWithoutWhatIsForTheProxy() throws Exception {
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.createContext("/", exchange -> {
      byte[] text = (exchange.getRequestURI() + " " + exchange.getRequestHeaders().getFirst("X-Forwarded-Prefix") + " "
          + exchange.getRequestHeaders().getFirst("Cookie")).getBytes(StandardCharsets.UTF_8);
      if (exchange.getRequestURI().getPath().equals("/old")) {
        exchange.getResponseHeaders().set("Location", "/new");
        exchange.sendResponseHeaders(302, -1);
      } else {
        exchange.getResponseHeaders().set("Content-Type", "text/x");
        exchange.sendResponseHeaders(exchange.getRequestURI().getPath().equals("/gone") ? 410 : 200, text.length);
        exchange.getResponseBody().write(text);
      }
      exchange.close();
    });
    server.start();
    try {
      running.pageAt("127.0.0.1", server.getAddress().getPort());
      HttpURLConnection asked = ask("GET", "/pages/dash/a/b?x=1&user.name=bob&Delegation=secret&y", "alice");
      String prefix = "/proxy/application_1_0001/pages/dash";
      assertEquals("200 /a/b?x=1&y " + prefix + " null", text(asked));
      assertEquals("text/x", asked.getHeaderField("Content-Type"));
      assertEquals("200 /status " + prefix + " null", text(ask("GET", "/pages/dash", "alice")));
      assertTrue(text(ask("GET", "/pages/dash/gone", "alice")).startsWith("410"));
      HttpURLConnection moved = ask("GET", "/pages/dash/old", "alice");
      assertEquals("302 " + prefix + "/new", moved.getResponseCode() + " " + moved.getHeaderField("Location"));
      assertTrue(text(ask("GET", "/pages/other/", "alice")).startsWith("404"));
    } finally {
      server.stop(0);
    }
    assertTrue(text(ask("GET", "/pages/dash/", "alice")).startsWith("502"));
  }

  @Test
  void aPageIsGoneWithItsContainer() throws Exception {
    HttpServer other = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    other.createContext("/", exchange -> {
      exchange.sendResponseHeaders(200, -1);
      exchange.close();
    });
    other.start();
    try {
      running.pageAt("127.0.0.1", other.getAddress().getPort());
      assertTrue(text(ask("GET", "/pages/dash/", "alice")).startsWith("200"));
      // Somebody else has its port now: its successor, which has its name, has not said that it serves there.
      running.post(new Event.Completed(running.clock.now(), EventLoopHarness.yarn(EventLoopHarness.FIRST + 1), -100, ""));
      assertTrue(text(ask("GET", "/pages/dash/", "alice")).startsWith("404"));
      assertTrue(text(ask("GET", "/ui/state.json", "alice")).contains("\"pages\":{}"));
    } finally {
      other.stop(0);
    }
  }

  @Test
  void whoLooksIsReadAsTheProxyWritesIt() throws Exception {
    viewer = "DOMAIN\\j\u00fcrgen@REALM";
    assertTrue(text(ask("GET", "/", "DOMAIN%5Cj%C3%BCrgen%40REALM")).startsWith("200"));
    assertTrue(text(ask("GET", "/", "%zz")).startsWith("403"));
    assertTrue(text(ask("GET", "/", "%")).startsWith("403"));
  }

  @Test
  void aPageThatFailsIsCountedOnce() throws Exception {
    AtomicInteger asked = new AtomicInteger();
    CountDownLatch held = new CountDownLatch(1);
    running.api.open(EventLoopHarness.IDENTITY, EventLoopHarness.SECRET, running::post, running.clock, exchange -> {
      if (asked.incrementAndGet() < 4) {
        throw new IOException("the container went away in the middle of its page");
      }
      try {
        held.await();
      } catch (InterruptedException error) {
        throw new IOException(error);
      }
    });
    for (int i = 0; i < 3; i++) {
      try (Socket socket = raw()) {
        assertEquals(-1, socket.getInputStream().read());
      }
    }
    try (Socket socket = raw()) {
      EventLoopHarness.await("it is asked for", () -> asked.get() == 4);
      long begin = System.nanoTime();
      running.api.drain(300);
      assertTrue(System.nanoTime() - begin > 290_000_000L, "what is under way is not waited for");
      held.countDown();
      assertEquals(-1, socket.getInputStream().read());
    }
  }

  /** A connection that has asked: Java's own client would ask again. */
  private Socket raw() throws IOException {
    Socket socket = new Socket("127.0.0.1", running.api.port());
    socket.setSoTimeout(20_000);
    socket.getOutputStream().write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
    return socket;
  }

  @Test
  void aPageIsOnlyOfTheContainersOwnNode() throws Exception {
    CompletableFuture<Reply> ticket = new CompletableFuture<>();
    running.post(new Call.AddPage(running.clock.now(), ticket, EventLoopHarness.yarn(EventLoopHarness.FIRST), "x", 80, "/"));
    assertEquals(200, ticket.get(20, TimeUnit.SECONDS).status);
    assertTrue(text(ask("GET", "/ui/state.json", "alice")).contains("\"host\":\"node07\",\"port\":80"));
  }
}
