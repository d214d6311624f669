package knit.am.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import knit.am.EventLoopHarness;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The API over real HTTP: who may pass (docs/protocol.md, section 4) and what is answered (section 5). */
class ApiTest {
  private static final String APPLICATION = "/api/v1/application";
  private EventLoopHarness running;

  @BeforeEach
  void start() throws Exception {
    running = new EventLoopHarness(2);
    running.awaitRunning(2);
  }

  @AfterEach
  void stop() {
    running.close();
  }

  private Caller client() {
    return new Caller(running);
  }

  private Caller container(long request) {
    return new Caller(running).as(EventLoopHarness.yarn(request));
  }

  private String get(Caller caller) throws IOException {
    return caller.call("GET", APPLICATION, null).outcome();
  }

  // Who may pass

  @Test
  void aRightRequestPasses() throws Exception {
    assertEquals("200 signed", get(client()));
    assertEquals("200 signed", get(container(1)));
  }

  @Test
  void aMissingOrWrongSignatureIsRefusedUnsigned() throws Exception {
    for (String name : Arrays.asList("kid", "kattempt", "ktime", "knonce")) {
      assertEquals("401 unsigned", get(client().with(name, null)), name);
    }
    Caller wrong = client();
    wrong.signature = "0000";
    assertEquals("401 bad-signature", get(wrong));
    Caller otherKey = client();
    otherKey.key = new byte[] {1};
    assertEquals("401 bad-signature", get(otherKey));
  }

  @Test
  void aSignatureIsGoodForItsRequestOnly() throws Exception {
    Caller caller = client();
    caller.signature = Signatures.sign(caller.key,
        Signatures.requestText("GET", "/api/v1/containers", caller.query, new byte[0]));
    assertEquals("401 bad-signature", get(caller));
    Caller body = client();
    body.signature = Signatures.sign(body.key, Signatures.requestText("PUT", "/api/v1/services/main/scale", body.query,
        "{\"instances\":3}".getBytes(StandardCharsets.US_ASCII)));
    assertEquals("401 bad-signature", body.call("PUT", "/api/v1/services/main/scale", "{\"instances\":9}").outcome());
  }

  @Test
  void anUnknownSignerIsRefused() throws Exception {
    assertEquals("401 unknown-signer", get(client().with("kid", "somebody")));
    assertEquals("401 bad-signature", get(client().with("kid", EventLoopHarness.yarn(1))));
    assertEquals("401 bad-signature", get(container(1).with("kid", EventLoopHarness.yarn(2))));
  }

  @Test
  void aStaleTimeOrAttemptIsToldTheRightOnes() throws Exception {
    long now = running.clock.now();
    for (long time : new long[] {now - 60_001, now + 60_001}) {
      Caller caller = client().with("ktime", Long.toString(time));
      assertEquals("401 stale signed", get(caller));
      assertEquals(now, caller.reply.get("time"));
      assertEquals(2L, caller.reply.get("attempt"));
    }
    assertEquals("401 stale signed", get(client().with("kattempt", "1")));
    assertEquals("200 signed", get(client().with("ktime", Long.toString(now - 60_000))));
  }

  @Test
  void aReplayIsRefused() throws Exception {
    Caller caller = client();
    assertEquals("200 signed", get(caller));
    assertEquals("401 replay signed", get(caller));
    running.clock.advance(60_000);
    assertEquals("401 replay signed", get(caller));
    running.clock.advance(1);
    assertEquals("401 stale signed", get(caller));
  }

  @Test
  void aRefusedStaleRequestDoesNotUseUpItsNonce() throws Exception {
    Caller caller = client().with("kattempt", "1");
    get(caller);
    assertEquals("200 signed", get(caller.with("kattempt", "2")));
  }

  @Test
  void aNonceOfAnotherSignerDoesNotCount() throws Exception {
    Caller one = container(1);
    assertEquals("200 signed", get(one));
    assertEquals("200 signed", get(container(2).with("knonce", one.query.get("knonce"))));
  }

  @Test
  void theProxysOwnParametersAreNotPartOfTheRequest() throws Exception {
    assertEquals("200 signed", get(client().with("user.name", "alice%40REALM")));
  }

  @Test
  void malformedParametersAreRefused() throws Exception {
    assertEquals("400 bad-request", get(client().with("knonce", "short")));
    assertEquals("400 bad-request", get(client().with("knonce", "ABCDEF0123456789")));
    assertEquals("400 bad-request", get(client().with("ktime", "yesterday")));
    assertEquals("400 bad-request", get(client().with("x", "%41")));
    assertEquals("400 bad-request signed", get(client().with("x", "unknown")));
  }

  @Test
  void aContainersTokenIsNotGoodForAClientsCall() throws Exception {
    assertEquals("403 forbidden signed", container(1).call("GET", "/api/v1/result", null).outcome());
    String[] calls = {"services/main/scale", "{\"instances\":3}", "containers/main_0/kill", "{}", "shutdown",
        "{\"outcome\":\"KILLED\"}", "queue", "{\"queue\":\"x\"}", "priority", "{\"priority\":1}"};
    for (int i = 0; i < calls.length; i += 2) {
      assertEquals("403 forbidden signed", container(1).call("PUT", "/api/v1/" + calls[i], calls[i + 1]).outcome(), calls[i]);
    }
    assertEquals("403 forbidden signed", client().call("PUT", "/api/v1/result", "{\"value\":1}").outcome());
  }

  @Test
  void unknownPathsAndMethods() throws Exception {
    for (String path : Arrays.asList("/api/v1/nope", "/api/v2/application", "/api/v1/services/main", "/api/v1/application/")) {
      assertEquals("404 unknown-path signed", client().call("GET", path, null).outcome(), path);
    }
    assertEquals("404", client().call("GET", "/", null).outcome());
    assertEquals("405 method-not-allowed signed", client().call("PUT", APPLICATION, "{}").outcome());
    assertEquals("405 method-not-allowed signed", client().call("GET", "/api/v1/shutdown", null).outcome());
    assertEquals("405 method-not-allowed", client().call("POST", "/api/v1/shutdown", "{}").outcome());
    assertEquals("405 method-not-allowed", client().call("DELETE", APPLICATION, null).outcome());
  }

  @Test
  void bodiesThatAreTooLargeOrUnreadable() throws Exception {
    char[] filling = new char[1 << 20];
    Arrays.fill(filling, 'x');
    String large = "{\"value\":\"" + new String(filling) + "\"}";
    assertEquals("413 too-large", container(1).call("PUT", "/api/v1/result", large).outcome());
    String big = "{\"value\":\"" + new String(filling, 0, 256 << 10) + "\"}";
    assertEquals("413 too-large signed", container(1).call("PUT", "/api/v1/result", big).outcome());
    String deep = "{\"value\":" + new String(filling, 0, 1000).replace('x', '[') + "}";
    for (String body : Arrays.asList("", "{", "[]", "{}", "{\"value\":1,\"more\":2}", "{\"value\":NaN}", "{\"value\":1} 2",
        "{\"value\":1,\"value\":2}", deep)) {
      assertEquals("400 bad-request signed", container(1).call("PUT", "/api/v1/result", body).outcome(), body);
    }
    for (String body : Arrays.asList("{\"instances\":-1}", "{\"instances\":\"2\"}", "{\"instances\":1.5}",
        "{\"instances\":99999999999999999999}")) {
      assertEquals("400 bad-request signed", client().call("PUT", "/api/v1/services/main/scale", body).outcome(), body);
    }
  }

  @Test
  void halfSentRequestsDoNotBlockOthers() throws Exception {
    List<Socket> sockets = new ArrayList<>();
    try {
      for (int i = 0; i < 20; i++) {
        Socket socket = new Socket("127.0.0.1", running.api.port());
        sockets.add(socket);
        String text = i % 2 == 0 ? "GET /api/v1/appl" : "PUT /api/v1/result?kid=client HTTP/1.1\r\nContent-Length: 100\r\n\r\n{";
        socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
      }
      long begin = System.nanoTime();
      assertEquals("200 signed", get(client()));
      assertTrue(System.nanoTime() - begin < 5_000_000_000L);
      for (Socket socket : sockets) {
        socket.setSoTimeout(40_000);
        assertEquals(-1, ended(socket), "a half-sent request was answered instead of cut off");
      }
    } finally {
      for (Socket socket : sockets) {
        socket.close();
      }
    }
  }

  /** As many as there are threads, and more: they hold no thread for longer than a second once others wait. */
  @Test
  void halfSentRequestsThatTakeAllThreadsAreCutOff() throws Exception {
    List<Socket> sockets = new ArrayList<>();
    try {
      for (int i = 0; i < 300; i++) {
        Socket socket = new Socket("127.0.0.1", running.api.port());
        sockets.add(socket);
        String text = i % 2 == 0 ? "GET /api/v1/appl" : "PUT /api/v1/result?kid=client HTTP/1.1\r\nContent-Length: 100\r\n\r\n{";
        socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
      }
      long begin = System.nanoTime();
      assertEquals("200 signed", get(client()));
      assertEquals("200 signed", container(1).call("PUT", "/api/v1/progress", "{\"progress\": 0.4}").outcome());
      long took = (System.nanoTime() - begin) / 1_000_000;
      assertTrue(took < 6_000, took + " ms"); // the server itself gives them up after 10 s
    } finally {
      for (Socket socket : sockets) {
        socket.close();
      }
    }
    for (int i = 0; i < 300; i++) { // no thread has kept an interrupt
      assertEquals("200 signed", get(client()));
    }
  }

  @Test
  void whoReadsNoReplyHoldsUpNobodyElse() throws Exception {
    char[] filling = new char[200_000];
    Arrays.fill(filling, 'x');
    for (String key : Arrays.asList("YQ", "Yg")) {
      String value = "{\"value\":\"" + new String(filling) + "\"}";
      assertEquals("200 signed", client().call("PUT", "/api/v1/kv/" + key, value).outcome());
    }
    List<Socket> sockets = new ArrayList<>();
    try {
      for (int i = 0; i < 300; i++) {
        Socket socket = new Socket();
        sockets.add(socket);
        socket.setReceiveBufferSize(4_096);
        socket.connect(new InetSocketAddress("127.0.0.1", running.api.port()));
        for (int more = 0; more < 10; more++) { // together more than the system takes up for a connection
          socket.getOutputStream().write(container(1).request("GET", "/api/v1/kv", "").getBytes(StandardCharsets.US_ASCII));
        }
      }
      EventLoopHarness.await("replies that nobody reads", () -> running.api.open.count() > 256);
      long begin = System.nanoTime();
      for (Caller caller : Arrays.asList(client(), container(2))) {
        Caller got = caller.call("GET", "/api/v1/kv", null);
        assertEquals("200 signed", got.outcome());
        assertEquals(2, ((List<?>) got.reply.get("entries")).size());
      }
      assertTrue(System.nanoTime() - begin < 10_000_000_000L);
    } finally {
      for (Socket socket : sockets) {
        socket.close();
      }
    }
    EventLoopHarness.await("none is left", () -> running.api.open.count() == 0);
    assertEquals("200 signed", get(container(1)));
  }

  @Test
  void largeBodiesOfOneAddressLeaveRoomForThoseOfOthers() throws Exception {
    List<Socket> sockets = new ArrayList<>();
    try {
      for (int i = 0; i < 20; i++) {
        Socket socket = new Socket("127.0.0.1", running.api.port());
        sockets.add(socket);
        String size = i % 2 == 0 ? "Content-Length: 1048576" : "Transfer-Encoding: chunked";
        String text = "PUT /api/v1/kv/YQ?kid=client HTTP/1.1\r\nHost: x\r\n" + size + "\r\n\r\n1";
        socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
      }
      EventLoopHarness.await("they are being read", () -> running.api.bodies.counted() >= 2 << 20);
      char[] filling = new char[20_000];
      Arrays.fill(filling, 'x');
      try (Socket other = new Socket()) {
        other.bind(new InetSocketAddress("127.0.0.2", 0));
        other.connect(new InetSocketAddress("127.0.0.1", running.api.port()));
        other.setSoTimeout(20_000);
        String value = "{\"value\":\"" + new String(filling) + "\"}";
        other.getOutputStream().write(client().request("PUT", "/api/v1/kv/YQ", value).getBytes(StandardCharsets.US_ASCII));
        byte[] beginning = new byte[12];
        new DataInputStream(other.getInputStream()).readFully(beginning);
        assertEquals("HTTP/1.1 200", new String(beginning, StandardCharsets.US_ASCII));
      }
    } finally {
      for (Socket socket : sockets) {
        socket.close();
      }
    }
  }

  @Test
  void pagesThatHangTakeNotAllThreads() throws Exception {
    CountDownLatch held = new CountDownLatch(1);
    running.api.open(EventLoopHarness.IDENTITY, EventLoopHarness.SECRET, running::post, running.clock, exchange -> {
      try {
        held.await();
      } catch (InterruptedException error) {
        throw new IOException(error);
      }
    });
    List<Socket> sockets = new ArrayList<>();
    try {
      for (int i = 0; i < 300; i++) {
        Socket socket = new Socket("127.0.0.1", running.api.port());
        sockets.add(socket);
        socket.getOutputStream().write("GET /pages/x/ HTTP/1.1\r\nHost: x\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
      }
      long begin = System.nanoTime();
      assertEquals("200 signed", get(client()));
      assertTrue(System.nanoTime() - begin < 10_000_000_000L);
    } finally {
      held.countDown();
      for (Socket socket : sockets) {
        socket.close();
      }
    }
  }

  private static int ended(Socket socket) {
    try {
      return socket.getInputStream().read();
    } catch (IOException reset) {
      return reset instanceof java.net.SocketTimeoutException ? -2 : -1;
    }
  }

  // What is answered

  @Test
  void theApplication() throws Exception {
    Caller caller = client().call("GET", APPLICATION, null);
    assertEquals("{id=application_1_0001, name=t, user=alice, attempt=2, state=RUNNING, startedAt=1700000000000, "
        + "progress=0.0, services={main={state=READY, instances=2, running=2, ready=2, pending=0, waiting=0, succeeded=0, "
        + "failed=0, restarts=0}}, pages={}, avoidedNodes=[], events=8, version=1.0.0}",
        caller.reply.toString());
  }

  @Test
  void theContainers() throws Exception {
    Caller caller = client().call("GET", "/api/v1/containers", null);
    Map<?, ?> first = (Map<?, ?>) ((List<?>) caller.reply.get("containers")).get(0);
    assertEquals("{id=main_0, service=main, instance=0, attempt=1, state=RUNNING, ready=true, "
        + "yarn=container_1_0001_01_000002, node=node07:8041, nodeHttp=node07:8042, exitCode=null, requestedAt=1700000000000, startedAt=1700000000000, "
        + "finishedAt=null, progress=null, diagnostics=}", first.toString());
  }

  @Test
  void scaling() throws Exception {
    Caller caller = client().call("PUT", "/api/v1/services/main/scale", "{\"instances\": 3}");
    assertEquals("{instances=3}", caller.reply.toString());
    running.awaitRunning(3);
    assertEquals("404 unknown-service signed",
        client().call("PUT", "/api/v1/services/nope/scale", "{\"instances\": 3}").outcome());
  }

  @Test
  void killing() throws Exception {
    Caller caller = client().call("PUT", "/api/v1/containers/main_1/kill", "{}");
    assertEquals("{id=main_1, state=STOPPING}", caller.reply.toString());
    running.awaitRunning(1);
    EventLoopHarness.await("ended", () -> client().call("PUT", "/api/v1/containers/main_1/kill", "{}").outcome()
        .equals("409 ended signed"));
    assertEquals("404 unknown-container signed", client().call("PUT", "/api/v1/containers/x/kill", "{}").outcome());
  }

  @Test
  void progressAndResults() throws Exception {
    String progress = "{\"progress\": 0.4, \"metrics\": {\"loss\": 0.1}}";
    assertEquals("{}", container(1).call("PUT", "/api/v1/progress", progress).reply.toString());
    assertEquals(0.2, ((Number) client().call("GET", APPLICATION, null).reply.get("progress")).doubleValue());
    assertEquals("400 bad-request signed", container(1).call("PUT", "/api/v1/progress", "{\"progress\": 1.1}").outcome());
    assertEquals("{}", container(2).call("PUT", "/api/v1/result",
        "{\"value\": [1.50, 12345678901234567890, \"\\u00e9\", null]}").reply.toString());
    assertEquals("{results={main={1=[1.50, 12345678901234567890, é, null]}}}",
        client().call("GET", "/api/v1/result", null).reply.toString());
    assertEquals("409 ended signed", container(9).call("PUT", "/api/v1/progress", progress).outcome());
  }

  @Test
  void aContainersLogsAreReadFromItsNode() throws Exception {
    String yarn = EventLoopHarness.yarn(EventLoopHarness.FIRST);
    String listing = "list node07:8042 " + yarn;
    String reading = "read node07:8042 " + yarn + " out put.ä 0 0 131072";
    for (String id : Arrays.asList("main_0", yarn)) {
      assertEquals("{did=" + listing + "}", client().call("GET", "/api/v1/containers/" + id + "/logs", null).reply.toString());
      String path = "/api/v1/containers/" + id + "/logs/" + encoded("out put.ä");
      assertEquals("{did=" + reading + "}", client().call("GET", path, null).reply.toString());
    }
    Caller part = client().with("offset", "7").with("size", "90").with("limit", "5");
    assertEquals("{did=read node07:8042 " + yarn + " stdout 7 90 5}",
        part.call("GET", "/api/v1/containers/main_0/logs/" + encoded("stdout"), null).reply.toString());
    for (String own : Arrays.asList("master", "container_1_0001_02_000001")) {
      assertEquals("{did=list node01:8042 container_1_0001_02_000001}",
          client().call("GET", "/api/v1/containers/" + own + "/logs", null).reply.toString());
    }
  }

  @Test
  void logsOfNoContainerOfThisApplicationAreNotRead() throws Exception {
    for (String id : Arrays.asList("main_7", "other_0", "container_2_0001_01_000002", "localhost", "127.0.0.1", "~")) {
      for (String rest : Arrays.asList("", "/" + encoded("stdout"))) {
        String path = "/api/v1/containers/" + id + "/logs" + rest;
        assertEquals("404 unknown-container signed", client().call("GET", path, null).outcome(), path);
      }
    }
    assertEquals("404 unknown-path signed", client().call("GET", "/api/v1/containers/main_0/log", null).outcome());
    assertEquals("405 method-not-allowed signed", client().call("PUT", "/api/v1/containers/main_0/logs", "{}").outcome());
    assertEquals("403 forbidden signed", container(1).call("GET", "/api/v1/containers/main_0/logs", null).outcome());
    assertEquals(new ArrayList<>(), running.logs.calls);
  }

  @Test
  void hostileNamesOfLogFilesAreRefused() throws Exception {
    char[] filling = new char[256];
    Arrays.fill(filling, 'x');
    for (String name : Arrays.asList("../stdout", "..", ".", "a/b", "/etc/passwd", "a\\b", "stdout?size=1", "a\nb", "a\u0000",
        new String(filling))) {
      String path = "/api/v1/containers/main_0/logs/" + encoded(name);
      assertEquals("400 bad-request signed", client().call("GET", path, null).outcome(), name);
    }
    for (String raw : Arrays.asList("~~", "_w", "")) {
      String path = "/api/v1/containers/main_0/logs/" + raw;
      assertEquals("400 bad-request signed", client().call("GET", path, null).outcome(), raw);
    }
    String path = "/api/v1/containers/main_0/logs/" + encoded("stdout");
    for (String name : Arrays.asList("offset", "size", "limit")) {
      for (String value : Arrays.asList("-1", "1e9", "9999999999999999999")) {
        assertEquals("400 bad-request signed", client().with(name, value).call("GET", path, null).outcome(), name + value);
      }
    }
    assertEquals("400 bad-request signed", client().with("limit", "131073").call("GET", path, null).outcome());
    assertEquals(new ArrayList<>(), running.logs.calls);
  }

  @Test
  void aHungNodeHoldsUpOnlyCallsForItsOwnLogs() throws Exception {
    running.logs.hung.add("node07:8042");
    List<Socket> sockets = new ArrayList<>();
    try {
      for (int i = 0; i < 50; i++) {
        Socket socket = new Socket("127.0.0.1", running.api.port());
        sockets.add(socket);
        String request = client().request("GET", "/api/v1/containers/main_" + i % 2 + "/logs", "");
        socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
      }
      EventLoopHarness.await("the limit", () -> client().call("GET", "/api/v1/containers/main_0/logs", null).outcome()
          .equals("429 busy signed"));
      assertEquals("200 signed", get(client()));
      assertEquals("200 signed", get(container(1)));
      EventLoopHarness.await("the first call has begun", () -> running.logs.calls.size() > 0);
      assertEquals(1, running.logs.calls.size());
    } finally {
      running.logs.release();
      for (Socket socket : sockets) {
        socket.close();
      }
    }
    EventLoopHarness.await("all are answered", () -> client().call("GET", "/api/v1/containers/main_0/logs", null).outcome()
        .equals("200 signed"));
  }

  private static String encoded(String text) {
    return Base64.getUrlEncoder().withoutPadding().encodeToString(text.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void shutdown() throws Exception {
    assertEquals("400 bad-request signed", client().call("PUT", "/api/v1/shutdown", "{\"outcome\":\"FINE\"}").outcome());
    Caller caller = client().call("PUT", "/api/v1/shutdown", "{\"outcome\": \"KILLED\", \"diagnostics\": \"enough\"}");
    assertEquals("{state=STOPPING}", caller.reply.toString());
  }

  // Delegation tokens

  @Test
  void newerTokensAreReadWhenTheClientAsks() throws Exception {
    try (EventLoopHarness secure = EventLoopHarness.secure(1)) {
      secure.awaitRunning(1);
      int before = secure.tokens.reads.get();
      Caller asked = new Caller(secure).call("GET", "/api/v1/tokens", null);
      assertEquals("200 signed", asked.outcome());
      assertEquals("[{kind=HDFS_DELEGATION_TOKEN, service=ha-hdfs:ns, issued=1, ends=2, pushed=false}]",
          asked.reply.get("tokens").toString());
      assertEquals(before, secure.tokens.reads.get());
      secure.tokens.newer = 1;
      Caller pushed = new Caller(secure).call("PUT", "/api/v1/tokens", "{}");
      assertEquals("200 signed", pushed.outcome());
      assertEquals(1L, pushed.reply.get("newer"));
      assertTrue(pushed.reply.get("tokens").toString().contains("pushed=true"));
      secure.tokens.problem = "it is truncated";
      Caller broken = new Caller(secure).call("PUT", "/api/v1/tokens", "{}");
      assertEquals("409 refused signed", broken.outcome());
      assertTrue(broken.reply.get("message").toString().contains("it is truncated"));
      assertEquals("400 bad-request signed", new Caller(secure).call("PUT", "/api/v1/tokens", "{\"x\":1}").outcome());
      assertEquals("403 forbidden signed", new Caller(secure).as(EventLoopHarness.yarn(1)).call("GET", "/api/v1/tokens", null)
          .outcome());
    }
    assertEquals("409 no-tokens signed", client().call("PUT", "/api/v1/tokens", "{}").outcome());
  }
}
