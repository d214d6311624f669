package knit.am.gateway;

import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.Socket;
import java.net.URL;
import knit.am.core.Spec;

/** Over the network, from this process to the container's node. */
public final class NetworkProbes implements Probes {
  @Override
  public boolean ready(String host, Spec.Readiness readiness) {
    try {
      return readiness.kind == Spec.Readiness.Kind.HTTP ? http(host, readiness) : tcp(host, readiness);
    } catch (IOException notYet) {
      return false;
    }
  }

  private static boolean tcp(String host, Spec.Readiness readiness) throws IOException {
    try (Socket socket = new Socket()) {
      socket.connect(new InetSocketAddress(host, readiness.port), (int) readiness.timeout);
      return true;
    }
  }

  private static boolean http(String host, Spec.Readiness readiness) throws IOException {
    URL url = new URL("http", host, readiness.port, readiness.path);
    HttpURLConnection connection = (HttpURLConnection) url.openConnection(Proxy.NO_PROXY);
    try {
      connection.setConnectTimeout((int) readiness.timeout);
      connection.setReadTimeout((int) readiness.timeout);
      connection.setInstanceFollowRedirects(false);
      int status = connection.getResponseCode();
      return status >= 200 && status < 400;
    } finally {
      connection.disconnect();
    }
  }
}
