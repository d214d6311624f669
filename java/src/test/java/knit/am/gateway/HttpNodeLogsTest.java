package knit.am.gateway;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.KeyStore;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.apache.hadoop.conf.Configuration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Reading from a NodeManager's web server, whose replies are laid out like the real one's. */
class HttpNodeLogsTest {
  private static final String YARN = "container_1_0001_01_000002";
  private static final String TRAILER = "\nEnd of LogType:stdout.This log file belongs to a running container\n***\n\n";

  static {
    try {
      Class.forName("knit.am.api.Api"); // sets limits of the JDK's server, which reads them once
    } catch (ClassNotFoundException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  private final ClassLoader loader = Thread.currentThread().getContextClassLoader();
  private final ExecutorService threads = Executors.newCachedThreadPool();
  private final List<String> asked = new CopyOnWriteArrayList<>();
  private HttpServer node;
  private HttpNodeLogs logs;
  private byte[] file = "one\ntwo\nthree\n".getBytes(StandardCharsets.UTF_8);
  private String listing = "{\"containerLogsInfo\":{\"containerLogInfo\":[{\"fileName\":\"stdout\",\"fileSize\":\"14\","
      + "\"lastModifiedTime\":\"now\"},{\"fileName\":\"stderr\",\"fileSize\":0}],\"logAggregationType\":\"LOCAL\"}}";
  /** Instead of the file; the status is 200 then. */
  private String other;
  private int status = 200;
  /** Bytes by which the file grows before each reply. */
  private int growth;

  @BeforeEach
  void start() throws IOException {
    serve(HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0));
    logs = new HttpNodeLogs(new Configuration(false), "alice");
  }

  private void serve(HttpServer server) {
    node = server;
    node.setExecutor(threads);
    node.createContext("/", this::answer);
    node.start();
  }

  /** Hadoop's settings of TLS in a folder of configuration. */
  private static void trust(Path folder, Path store, String password) throws IOException {
    Configuration settings = new Configuration(false);
    settings.set("ssl.client.truststore.location", store.toString());
    settings.set("ssl.client.truststore.type", "PKCS12");
    settings.set("ssl.client.truststore.password", password);
    try (OutputStream out = Files.newOutputStream(folder.resolve("ssl-client.xml"))) {
      settings.writeXml(out);
    }
  }

  @AfterEach
  void stop() {
    Thread.currentThread().setContextClassLoader(loader);
    node.stop(0);
    threads.shutdownNow();
  }

  private void answer(HttpExchange exchange) throws IOException {
    asked.add(exchange.getRequestURI().toString());
    String path = exchange.getRequestURI().getRawPath();
    byte[] body = other != null ? other.getBytes(StandardCharsets.UTF_8)
        : path.endsWith("/logs") ? listing.getBytes(StandardCharsets.UTF_8) : log(exchange.getRequestURI().getQuery());
    if (status == 401) {
      exchange.getResponseHeaders().set("WWW-Authenticate", "Negotiate");
    }
    exchange.sendResponseHeaders(status, 0);
    try (OutputStream out = exchange.getResponseBody()) {
      out.write(body);
    } catch (IOException error) {
      // the reader has enough
    }
  }

  private byte[] log(String query) {
    file = Arrays.copyOf(file, file.length + growth);
    int most = (int) Math.min(file.length, Long.parseLong(query.replaceAll(".*size=-([0-9]+).*", "$1")));
    String head = "Container: " + YARN + " on n:1\nLogAggregationType: LOCAL\n====\nLogType:stdout\nLogLastModifiedTime:now\n"
        + "LogLength:" + file.length + "\nLogContents:\n";
    byte[] before = head.getBytes(StandardCharsets.UTF_8);
    byte[] after = TRAILER.getBytes(StandardCharsets.UTF_8);
    byte[] body = Arrays.copyOf(before, before.length + most + after.length);
    System.arraycopy(file, file.length - most, body, before.length, most);
    System.arraycopy(after, 0, body, before.length + most, after.length);
    return body;
  }

  private String address() {
    return "127.0.0.1:" + node.getAddress().getPort();
  }

  private String read(long offset, long size, int limit) throws NodeLogs.Failure {
    Map<String, Object> reply = logs.read(address(), YARN, "stdout", offset, size, limit);
    assertEquals((long) file.length, reply.get("size"));
    assertEquals(offset, reply.get("offset"));
    return new String(Base64.getUrlDecoder().decode((String) reply.get("data")), StandardCharsets.ISO_8859_1);
  }

  private NodeLogs.Failure refused() {
    assertEquals(failure("stdout").code, failure(null).code);
    return failure("stdout");
  }

  private NodeLogs.Failure failure(String name) {
    return assertThrows(NodeLogs.Failure.class, () -> {
      Object got = name == null ? logs.list(address(), YARN) : logs.read(address(), YARN, name, 0, 0, 10);
      throw new AssertionError(got.toString());
    });
  }

  @Test
  void filesAreListedAsTheirUser() throws Exception {
    assertEquals("{files={stdout=14, stderr=0}, uploaded={}}", logs.list(address(), YARN).toString());
    assertEquals("[/ws/v1/node/containers/" + YARN + "/logs?user.name=alice]", asked.toString());
    listing = "{\"containerLogsInfo\":[{\"logAggregationType\":\"LOCAL\"},{\"containerLogInfo\":{\"fileName\":\"stdout\","
        + "\"fileSize\":\"5\"},\"logAggregationType\":\"AGGREGATED\"},{\"containerLogInfo\":{\"fileName\":\"stdout\","
        + "\"fileSize\":\"7\"},\"logAggregationType\":\"AGGREGATED\"}]}";
    assertEquals("{files={}, uploaded={stdout=[5, 7]}}", logs.list(address(), YARN).toString());
  }

  @Test
  void headerAndTrailerAreStripped() throws Exception {
    assertEquals("one\ntwo\nthree\n", read(0, 14, 100));
    assertEquals("two\nthr", read(4, 14, 7));
    assertEquals("", read(14, 14, 100));
    assertEquals("", read(99, 99, 100));
    file = "End of LogType:stdout\nLogLength:3\nLogContents:\nx".getBytes(StandardCharsets.UTF_8);
    assertEquals("Length:3\nLogContents:\nx", read(25, 0, 100));
  }

  @Test
  void anEmptyOrDeletedFileHasNoBytes() throws Exception {
    file = new byte[0];
    assertEquals("", read(0, 0, 100));
    for (String text : Arrays.asList("", "End of LogType:stdout\n***\n", "End of LogType:stdout\n***\nContainer: x\n"
        + "LogAggregationType: AGGREGATED\nLogType:stdout\nLogLength:5\nLogContents:\nhello")) {
      other = text;
      assertEquals("", read(0, 0, 100));
    }
  }

  @Test
  void aPartOfALongFileIsReadWithoutTheRest() throws Exception {
    file = new byte[3 << 20];
    for (int i = 0; i < file.length; i++) {
      file[i] = (byte) (i * 31 + i / 251);
    }
    for (long known : new long[] {0, 1, file.length, 1L << 60}) { // right or wrong
      for (int offset : new int[] {0, 1 << 20, file.length - 10}) {
        byte[] part = Arrays.copyOfRange(file, offset, Math.min(file.length, offset + 1000));
        assertEquals(new String(part, StandardCharsets.ISO_8859_1), read(offset, known, 1000));
      }
    }
    asked.clear();
    read(1 << 20, file.length, 1000);
    assertEquals(1, asked.size());
    assertTrue(asked.get(0).contains("size=-" + ((2 << 20) + (1 << 14)) + "&"), asked.toString());
  }

  @Test
  void aFileThatGrowsBetweenTwoRequestsIsReadAtTheRightPlace() throws Exception {
    growth = 60_000;
    assertEquals("one\ntwo\nthree\n", read(0, 14, 14));
    growth = 10_000_000;
    assertEquals(NodeLogs.Failure.REFUSED, failure("stdout").code);
  }

  @Test
  void theNameIsAPartOfThePath() throws Exception {
    logs.read(address(), YARN, "a b&c+d;e%2Fä#", 0, 0, 10);
    assertTrue(asked.get(0).startsWith("/ws/v1/node/containers/" + YARN + "/logs/a%20b%26c%2Bd%3Be%252F%C3%A4%23?size=-"),
        asked.toString());
  }

  @Test
  void theRefusalOfANodeIsTold() {
    status = 401;
    other = "<html>Authentication required</html>";
    assertEquals(NodeLogs.Failure.REFUSED, refused().code);
    assertTrue(refused().getMessage().contains("Kerberos"), refused().getMessage());
    assertTrue(asked.size() == 2 * 3 - 1 + 4, asked.size() + " requests"); // each was sent once
    status = 403;
    other = "User [alice] is not\n authorized" + new String(new char[5000]).replace('\0', 'x');
    assertEquals(NodeLogs.Failure.REFUSED, refused().code);
    assertTrue(refused().getMessage().contains("answered 403: User [alice] is not authorizedxxx"), refused().getMessage());
    assertTrue(refused().getMessage().length() < 300);
  }

  @Test
  void anUnknownContainerIsTold() {
    for (int code : new int[] {404, 302, 500}) {
      status = code;
      other = "{\"RemoteException\":{\"exception\":\"NotFoundException\"}}";
      assertEquals(NodeLogs.Failure.NO_LOGS, refused().code);
    }
    status = 503;
    other = "HTTP 404 Not Found";
    assertEquals(NodeLogs.Failure.NO_LOGS, refused().code);
  }

  @Test
  void whatIsNoLogOrTooLongIsRefused() {
    other = "<html>welcome</html>";
    assertEquals(NodeLogs.Failure.REFUSED, refused().code);
    other = "LogLength:5\nLogContents:\nhel"; // less than announced
    assertEquals(NodeLogs.Failure.UNREACHABLE, failure("stdout").code);
    other = new String(new char[HttpNodeLogs.LISTING + 1]).replace('\0', ' ') + listing;
    assertTrue(refused().getMessage().contains("more than"), refused().getMessage());
  }

  @Test
  void aNodeThatIsAwayIsUnreachable() {
    node.stop(0);
    assertEquals(NodeLogs.Failure.UNREACHABLE, refused().code);
    assertTrue(refused().getMessage().contains("connection refused"), refused().getMessage());
    NodeLogs.Failure unknown =
        assertThrows(NodeLogs.Failure.class, () -> logs.list("no-such-host.invalid:8042", YARN));
    assertEquals(NodeLogs.Failure.UNREACHABLE, unknown.code);
    assertTrue(unknown.getMessage().contains("name is not known"), unknown.getMessage());
  }

  /** One that accepts and is silent, and one that sends a byte now and then. */
  @Test
  void aNodeThatHangsHasALimitedTime() throws Exception {
    logs = new HttpNodeLogs(new Configuration(false), "alice", 600);
    for (boolean drips : new boolean[] {false, true}) {
      try (ServerSocket silent = new ServerSocket(0)) {
        threads.execute(() -> {
          try (Socket socket = silent.accept()) {
            for (int i = 0; i < 100; i++) {
              Thread.sleep(100);
              if (drips) {
                socket.getOutputStream().write('H');
              }
            }
          } catch (IOException | InterruptedException error) {
            // the test is over
          }
        });
        long begin = System.nanoTime();
        NodeLogs.Failure failure = assertThrows(NodeLogs.Failure.class,
            () -> logs.list("127.0.0.1:" + silent.getLocalPort(), YARN));
        assertEquals(NodeLogs.Failure.UNREACHABLE, failure.code);
        assertTrue(System.nanoTime() - begin < 5_000_000_000L);
      }
    }
  }

  @Test
  void theTrustStoreOfHadoopDecidesOverTls(@TempDir Path folder) throws Exception {
    Configuration secure = new Configuration(false);
    secure.set("yarn.http.policy", "HTTPS_ONLY");
    logs = new HttpNodeLogs(secure, "alice");
    Path store = folder.resolve("node.p12");
    String tool = Paths.get(System.getProperty("java.home"), "bin", "keytool").toString();
    assertEquals(0, new ProcessBuilder(tool, "-genkeypair", "-alias", "node", "-keyalg", "RSA", "-dname", "CN=node", "-ext",
        "SAN=ip:127.0.0.1", "-storetype", "PKCS12", "-keystore", store.toString(), "-storepass", "secret").start().waitFor());
    KeyStore keys = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(store)) {
      keys.load(in, "secret".toCharArray());
    }
    KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    managers.init(keys, "secret".toCharArray());
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(managers.getKeyManagers(), null, null);
    node.stop(0);
    HttpsServer server = HttpsServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.setHttpsConfigurator(new HttpsConfigurator(context));
    serve(server);
    assertEquals(NodeLogs.Failure.UNREACHABLE, failure(null).code);
    assertTrue(failure(null).getMessage().contains("TLS failed"), failure(null).getMessage());
    Thread.currentThread().setContextClassLoader(new URLClassLoader(new URL[] {folder.toUri().toURL()}, loader));
    trust(folder, store, "wrong");
    logs = new HttpNodeLogs(secure, "alice");
    assertTrue(failure(null).getMessage().contains("the trust store of ssl-client.xml cannot be used"),
        failure(null).getMessage());
    trust(folder, store, "secret");
    logs = new HttpNodeLogs(secure, "alice");
    assertEquals("one\ntwo\nthree\n", read(0, 14, 100));
    NodeLogs.Failure other = assertThrows(NodeLogs.Failure.class,
        () -> logs.list("localhost:" + node.getAddress().getPort(), YARN));
    assertTrue(other.getMessage().contains("TLS failed"), other.getMessage()); // a certificate for another name
  }
}
