package knit.am.gateway;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UnsupportedEncodingException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URLEncoder;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;
import knit.am.json.Json;
import knit.am.util.Log;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.security.ssl.SSLFactory;
import org.apache.hadoop.yarn.conf.YarnConfiguration;

/**
 * The NodeManagers' web servers. Their API has no offset: {@code size=-N} gives the last N bytes between a header, which has the
 * file's length, and a trailer.
 *
 * <p>The requests are HTTP/1.0 over a socket. So one deadline bounds a reply as a whole, a long reply can be left in its middle,
 * and nothing tries to log in with tickets of the node.
 */
public final class HttpNodeLogs implements NodeLogs {
  /** Milliseconds to connect. */
  static final int CONNECT = 3_000;
  /** Bytes of a list of files. */
  static final int LISTING = 256 << 10;
  /** Bytes by which a file may grow between two requests without a further one; eight times more at each further one. */
  private static final long SLACK = 1 << 14;
  private static final int TRIES = 4;
  /** Bytes of HTTP's header, and of the header before a file. */
  private static final int HEADER = 1 << 14;
  private static final int EXCERPT = 2_000;

  private final Configuration configuration;
  private final boolean https;
  private final String user;
  private final int replyTimeout;
  private SSLSocketFactory sockets;

  /** @param user the application's user, who may see its logs */
  public HttpNodeLogs(Configuration configuration, String user) {
    this(configuration, user, 8_000);
  }

  /** @param replyTimeout milliseconds for a whole reply */
  HttpNodeLogs(Configuration configuration, String user, int replyTimeout) {
    this.configuration = configuration;
    this.user = user;
    this.replyTimeout = replyTimeout;
    https = YarnConfiguration.useHttps(configuration);
  }

  @Override
  public Map<String, Object> list(String node, String yarn) throws Failure {
    return with(node, yarn, "", "application/json", reply -> listing(reply.all(LISTING)));
  }

  /** Jersey leaves out empty lists, and the brackets of lists with one element. */
  private static Map<String, Object> listing(byte[] text) {
    Map<String, Object> files = new LinkedHashMap<>();
    Map<String, Object> uploaded = new LinkedHashMap<>();
    for (Object log : elements(Json.parse(text), "containerLogsInfo")) {
      boolean aggregated = "AGGREGATED".equals(((Map<?, ?>) log).get("logAggregationType"));
      for (Object file : elements(log, "containerLogInfo")) {
        String name = String.valueOf(((Map<?, ?>) file).get("fileName"));
        Long size = Long.valueOf(String.valueOf(((Map<?, ?>) file).get("fileSize")));
        if (aggregated) {
          List<Object> sizes = new ArrayList<>(elements(uploaded, name));
          sizes.add(size);
          uploaded.put(name, sizes);
        } else {
          files.put(name, size);
        }
      }
    }
    return Json.map("files", files, "uploaded", uploaded);
  }

  private static List<?> elements(Object object, String name) {
    Object found = ((Map<?, ?>) object).get(name);
    return found == null ? Collections.emptyList() : found instanceof List ? (List<?>) found : Collections.singletonList(found);
  }

  @Override
  public Map<String, Object> read(String node, String yarn, String file, long offset, long size, int limit) throws Failure {
    long[] wanted = {Math.max(0, size - offset) + SLACK};
    for (int number = 1; number <= TRIES; number++) {
      long slack = SLACK << 3 * number;
      Map<String, Object> found = with(node, yarn, "/" + encoded(file) + "?size=-" + wanted[0], "text/plain", reply -> {
        long length = reply.fileLength();
        long skipped = offset - Math.max(0, length - wanted[0]);
        if (offset < length && (skipped < 0 || skipped > slack)) {
          wanted[0] = length - offset + slack / 2; // the file is longer, or much shorter than the caller knew
          return null;
        }
        int count = (int) Math.min(limit, Math.max(0, length - offset));
        reply.skip(count == 0 ? 0 : skipped);
        return Json.map("offset", offset, "size", length, "data",
            Base64.getUrlEncoder().withoutPadding().encodeToString(reply.bytes(count)));
      });
      if (found != null) {
        return found;
      }
    }
    throw new Failure(Failure.REFUSED, file + " of " + yarn + " grows too fast to be read through the ApplicationMaster");
  }

  private static String encoded(String text) {
    try {
      return URLEncoder.encode(text, "UTF-8").replace("+", "%20");
    } catch (UnsupportedEncodingException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  // HTTP

  private interface Use {
    Map<String, Object> of(Reply reply) throws IOException;
  }

  /** @param path after {@code …/logs} */
  private Map<String, Object> with(String node, String yarn, String path, String accept, Use use) throws Failure {
    String whole = "/ws/v1/node/containers/" + encoded(yarn) + "/logs" + path + (path.contains("?") ? "&" : "?") + "user.name="
        + encoded(user);
    try (Reply reply = new Reply(connect(node), replyTimeout)) {
      reply.request("GET " + whole + " HTTP/1.0\r\nHost: " + node + "\r\nUser-Agent: knit\r\nAccept: " + accept + "\r\n\r\n");
      if (reply.status != 200) {
        throw refusal(node, reply);
      }
      return use.of(reply);
    } catch (Failure failure) {
      throw failure;
    } catch (IOException error) {
      throw new Failure(Failure.UNREACHABLE, "the NodeManager at " + node + " does not answer: " + reason(error));
    } catch (RuntimeException error) {
      throw new Failure(Failure.REFUSED, "the reply of the NodeManager at " + node + " is not understood: " + Log.reason(error));
    }
  }

  private Socket connect(String node) throws IOException {
    int colon = node.lastIndexOf(':');
    String host = node.substring(0, colon).replaceAll("[\\[\\]]", "");
    Socket socket = new Socket();
    try {
      InetSocketAddress address = new InetSocketAddress(host, Integer.parseInt(node.substring(colon + 1)));
      if (address.isUnresolved()) {
        throw new UnknownHostException(host);
      }
      socket.connect(address, CONNECT);
      return https ? secured(socket, host, address.getPort()) : socket;
    } catch (IOException | RuntimeException error) {
      socket.close();
      throw error;
    }
  }

  /** With the trust store of Hadoop's ssl-client.xml, or Java's own if that names none. */
  private Socket secured(Socket socket, String host, int port) throws IOException {
    socket.setSoTimeout(CONNECT);
    SSLSocket secured = (SSLSocket) factory().createSocket(socket, host, port, true);
    SSLParameters parameters = secured.getSSLParameters();
    parameters.setEndpointIdentificationAlgorithm("HTTPS");
    secured.setSSLParameters(parameters);
    secured.startHandshake();
    return secured;
  }

  private synchronized SSLSocketFactory factory() throws IOException {
    if (sockets == null) {
      SSLFactory made = new SSLFactory(SSLFactory.Mode.CLIENT, configuration);
      try {
        made.init();
        sockets = made.createSSLSocketFactory();
      } catch (GeneralSecurityException | IOException | RuntimeException | LinkageError error) {
        throw new SSLException("the trust store of ssl-client.xml cannot be used: " + Log.reason(error));
      }
    }
    return sockets;
  }

  private String reason(IOException error) {
    if (error instanceof UnknownHostException) {
      return "its name is not known on the ApplicationMaster's node";
    } else if (error instanceof SocketTimeoutException) {
      return "no reply in time (" + CONNECT / 1000 + " s to connect, " + replyTimeout / 1000 + " s for the reply)";
    } else if (error instanceof SSLException) {
      return "TLS failed (" + Log.reason(error) + ")";
    }
    return error instanceof ConnectException ? "connection refused" : Log.reason(error);
  }

  /** Hadoop's versions answer for an unknown container with 404, 503 or a redirect. */
  private static Failure refusal(String node, Reply reply) throws IOException {
    String text = new String(reply.all(-EXCERPT), StandardCharsets.UTF_8).replaceAll("[\\s\\p{Cntrl}]+", " ").trim();
    if (reply.status == 404 || reply.status / 100 == 3 || text.contains("NotFoundException")
        || text.contains("HTTP 404 Not Found")) {
      return new Failure(Failure.NO_LOGS, "the NodeManager at " + node + " has no such logs (" + reply.status + ")");
    } else if (reply.status == 401) {
      return new Failure(Failure.REFUSED, "the NodeManager at " + node + " asks for a Kerberos ticket (401), and an "
          + "ApplicationMaster has none, so that it cannot read logs on this cluster");
    }
    return new Failure(Failure.REFUSED, "the NodeManager at " + node + " answered " + reply.status + ": "
        + text.substring(0, Math.min(200, text.length())));
  }

  /** A reply that must be complete at a certain time. */
  private static final class Reply implements Closeable {
    private final Socket socket;
    private final long deadline;
    private InputStream in;
    int status;

    Reply(Socket socket, int timeout) {
      this.socket = socket;
      deadline = System.nanoTime() + timeout * 1_000_000L;
    }

    void request(String text) throws IOException {
      socket.getOutputStream().write(text.getBytes(StandardCharsets.US_ASCII));
      in = new BufferedInputStream(new Timed(), 1 << 13);
      int[] left = {HEADER};
      String line = line(left);
      if (line == null || !line.matches("HTTP/1\\.[0-9] [0-9]{3}.*")) {
        throw new IllegalArgumentException("it is not HTTP");
      }
      status = Integer.parseInt(line.substring(9, 12));
      while (line != null && !line.isEmpty()) {
        line = line(left);
      }
    }

    /** The next line without its end; null at the end of the reply. */
    private String line(int[] left) throws IOException {
      StringBuilder line = new StringBuilder();
      for (int next = in.read(); next != '\n'; next = in.read()) {
        if (next < 0) {
          return line.length() == 0 ? null : line.toString();
        }
        if (left[0]-- == 0) {
          throw new IllegalArgumentException("a header of more than " + HEADER + " bytes");
        }
        line.append((char) next);
      }
      return line.toString().replaceAll("\r$", "");
    }

    /**
     * Read the header before a file.
     *
     * @return the file's length; 0 if it is empty or deleted
     */
    long fileLength() throws IOException {
      long length = -1;
      boolean uploaded = false;
      int[] left = {HEADER};
      String first = line(left);
      for (String line = first; line != null; line = line(left)) {
        if (line.equals("LogContents:") && length >= 0) {
          return uploaded ? 0 : length;
        } else if (line.startsWith("LogLength:") && length < 0) {
          length = Long.parseLong(line.substring("LogLength:".length()).trim());
        }
        uploaded |= line.matches("LogAggregationType: *AGGREGATED");
      }
      if (first != null && !first.startsWith("End of LogType:")) {
        throw new IllegalArgumentException("it is not a container's log");
      }
      return 0;
    }

    /** Without memory for what is skipped, which may be megabytes. */
    void skip(long count) throws IOException {
      byte[] buffer = new byte[1 << 12];
      for (long left = count; left > 0; ) {
        int read = in.read(buffer, 0, (int) Math.min(left, buffer.length));
        if (read < 0) {
          throw new EOFException("it sent less than it announced");
        }
        left -= read;
      }
    }

    byte[] bytes(int count) throws IOException {
      byte[] bytes = new byte[count];
      for (int at = 0; at < count; ) {
        int read = in.read(bytes, at, count - at);
        if (read < 0) {
          throw new EOFException("it sent less than it announced");
        }
        at += read;
      }
      return bytes;
    }

    /** The rest of the reply. If it is longer than the limit it is refused, or cut if the limit is negative. */
    byte[] all(int limit) throws IOException {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      byte[] buffer = new byte[1 << 12];
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        out.write(buffer, 0, count);
        if (out.size() >= Math.abs(limit)) {
          if (limit > 0) {
            throw new IllegalArgumentException("it has more than " + limit + " bytes");
          }
          break;
        }
      }
      return out.toByteArray();
    }

    @Override
    public void close() throws IOException {
      socket.close();
    }

    private final class Timed extends InputStream {
      @Override
      public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
      }

      @Override
      public int read(byte[] bytes, int from, int count) throws IOException {
        long left = (deadline - System.nanoTime()) / 1_000_000;
        if (left <= 0) {
          throw new SocketTimeoutException();
        }
        socket.setSoTimeout((int) left);
        return socket.getInputStream().read(bytes, from, count);
      }
    }
  }
}
