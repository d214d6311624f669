package knit.am.api;

import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManagerFactory;
import knit.am.util.Log;

/**
 * TLS for the ResourceManager's proxy, on clusters with {@code yarn.resourcemanager.application-https.policy}: YARN gives the
 * ApplicationMaster a key whose certificate the proxy accepts, and the certificate by which it knows the proxy.
 */
public final class ProxyTls {
  private final SSLContext context;

  private ProxyTls(SSLContext context) {
    this.context = context;
  }

  /**
   * @param environment with the names that {@code ApplicationConstants} gives them
   * @return null if YARN has given no key
   * @throws IOException if the key cannot be used
   */
  public static ProxyTls of(Map<String, String> environment) throws IOException {
    if (!environment.containsKey("KEYSTORE_FILE_LOCATION")) {
      return null;
    }
    try {
      KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
      char[] password = environment.getOrDefault("KEYSTORE_PASSWORD", "").toCharArray();
      keys.init(load(environment.get("KEYSTORE_FILE_LOCATION"), password), password);
      TrustManagerFactory proxy = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      proxy.init(load(environment.get("TRUSTSTORE_FILE_LOCATION"),
          environment.getOrDefault("TRUSTSTORE_PASSWORD", "").toCharArray()));
      SSLContext context = SSLContext.getInstance("TLS");
      context.init(keys.getKeyManagers(), proxy.getTrustManagers(), null);
      return new ProxyTls(context);
    } catch (GeneralSecurityException | IOException | RuntimeException error) {
      throw new IOException("the key store that YARN gives for the proxy's TLS cannot be used: " + Log.reason(error), error);
    }
  }

  private static KeyStore load(String file, char[] password) throws GeneralSecurityException, IOException {
    if (file == null) {
      throw new IOException("the trust store is missing");
    }
    KeyStore store = KeyStore.getInstance("JKS");
    try (InputStream in = Files.newInputStream(Paths.get(file))) {
      store.load(in, password);
    }
    return store;
  }

  /** Of a server to which only the proxy can connect. */
  HttpsConfigurator configurator() {
    return new HttpsConfigurator(context) {
      @Override
      public void configure(HttpsParameters parameters) {
        SSLParameters own = context.getDefaultSSLParameters();
        own.setNeedClientAuth(true);
        parameters.setSSLParameters(own);
      }
    };
  }
}
