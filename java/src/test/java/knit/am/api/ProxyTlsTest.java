package knit.am.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.security.KeyStore;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import knit.am.EventLoopHarness;
import knit.am.util.ManualClock;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The port for the ResourceManager's proxy: only it can connect, and it gets what the other port serves. */
class ProxyTlsTest {
  private static final String PASSWORD = "never to be seen";

  @TempDir
  static Path folder;
  private final Map<String, String> environment = new HashMap<>();
  private Api api;

  @AfterEach
  void stop() {
    if (api != null) {
      api.close();
    }
  }

  private static void keytool(String... arguments) throws Exception {
    String[] command = new String[arguments.length + 5];
    command[0] = Paths.get(System.getProperty("java.home"), "bin", "keytool").toString();
    System.arraycopy(arguments, 0, command, 1, arguments.length);
    System.arraycopy(new String[] {"-storetype", "JKS", "-storepass", PASSWORD}, 0, command, arguments.length + 1, 4);
    assertEquals(0, new ProcessBuilder(command).directory(folder.toFile()).start().waitFor());
  }

  /** As YARN lays them out: a key in each store, and the other's certificate in its trust store. */
  @BeforeAll
  static void makeKeys() throws Exception {
    for (String name : new String[] {"application", "proxy"}) {
      keytool("-genkeypair", "-alias", name, "-keyalg", "RSA", "-dname", "CN=" + name, "-ext", "SAN=ip:127.0.0.1",
          "-keypass", PASSWORD, "-keystore", name);
      keytool("-exportcert", "-alias", name, "-file", name + ".cer", "-keystore", name);
      keytool("-importcert", "-noprompt", "-alias", name, "-file", name + ".cer", "-keystore", "trusts-" + name);
    }
  }

  @BeforeEach
  void describe() {
    environment.put("KEYSTORE_FILE_LOCATION", folder.resolve("application").toString());
    environment.put("KEYSTORE_PASSWORD", PASSWORD);
    environment.put("TRUSTSTORE_FILE_LOCATION", folder.resolve("trusts-proxy").toString());
    environment.put("TRUSTSTORE_PASSWORD", PASSWORD);
  }

  private KeyStore store(String name) throws Exception {
    KeyStore store = KeyStore.getInstance("JKS");
    try (InputStream in = Files.newInputStream(folder.resolve(name))) {
      store.load(in, PASSWORD.toCharArray());
    }
    return store;
  }

  /** The status of a request with the key of a store; null for none. */
  private int ask(String url, String key) throws Exception {
    KeyManager[] own = null;
    if (key != null) {
      KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
      keys.init(store(key), PASSWORD.toCharArray());
      own = keys.getKeyManagers();
    }
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(store("trusts-application"));
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(own, trust.getTrustManagers(), null);
    HttpsURLConnection connection = (HttpsURLConnection) new URL(url).openConnection();
    connection.setSSLSocketFactory(context.getSocketFactory());
    connection.setReadTimeout(20_000);
    return connection.getResponseCode();
  }

  @Test
  void onlyTheProxyIsServedThere() throws Exception {
    api = new Api("127.0.0.1", 0, 0, ProxyTls.of(environment));
    String url = api.trackingUrl("127.0.0.1");
    assertTrue(url.startsWith("https://127.0.0.1:"), url);
    assertFalse(url.contains(":" + api.port() + "/"), url);
    assertThrows(IOException.class, () -> ask(url + "api/v1/application", null));
    assertThrows(IOException.class, () -> ask(url + "api/v1/application", "application"));
    assertEquals(503, ask(url + "api/v1/application", "proxy"));
    api.open(EventLoopHarness.IDENTITY, EventLoopHarness.SECRET, event -> {
    }, new ManualClock(), null);
    assertEquals(401, ask(url + "api/v1/application", "proxy"));
    HttpURLConnection direct = (HttpURLConnection) new URL("http://127.0.0.1:" + api.port() + "/api/v1/application")
        .openConnection();
    assertEquals(401, direct.getResponseCode());
  }

  @Test
  void withoutAKeyThereIsOnePort() throws Exception {
    assertNull(ProxyTls.of(Collections.emptyMap()));
    api = new Api("127.0.0.1", 0, 0, null);
    assertEquals("http://node01:" + api.port() + "/", api.trackingUrl("node01"));
  }

  @Test
  void aKeyThatCannotBeUsedIsToldWithoutItsPassword() {
    environment.put("TRUSTSTORE_PASSWORD", "another secret");
    refused();
    environment.remove("TRUSTSTORE_FILE_LOCATION");
    refused();
    environment.put("KEYSTORE_FILE_LOCATION", folder.resolve("none").toString());
    refused();
  }

  private void refused() {
    String message = assertThrows(IOException.class, () -> ProxyTls.of(environment)).getMessage();
    assertTrue(message.startsWith("the key store that YARN gives for the proxy's TLS cannot be used: "), message);
    assertFalse(message.contains(PASSWORD) || message.contains("another secret"), message);
  }
}
