package knit.am.api;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import knit.am.EventLoopHarness;
import knit.am.json.Json;

/** Sends signed requests and checks the replies' signatures; every part of a request can be made wrong. */
final class Caller {
  private static final AtomicLong NONCES = new AtomicLong();

  final EventLoopHarness running;
  final Map<String, String> query = new TreeMap<>();
  byte[] key = EventLoopHarness.SECRET;
  String signature;
  /** Of the last reply. */
  int status;
  boolean signed;
  Map<?, ?> reply;

  Caller(EventLoopHarness running) {
    this.running = running;
    query.put("kid", "client");
    query.put("kattempt", "2");
    query.put("ktime", Long.toString(running.clock.now()));
    query.put("knonce", String.format("%032x", NONCES.incrementAndGet()));
  }

  Caller with(String name, String value) {
    if (value == null) {
      query.remove(name);
    } else {
      query.put(name, value);
    }
    return this;
  }

  Caller as(String container) {
    key = Signatures.containerToken(EventLoopHarness.SECRET, container);
    return with("kid", container);
  }

  Caller call(String method, String path, String body) throws IOException {
    byte[] content = body == null ? new byte[0] : body.getBytes(StandardCharsets.UTF_8);
    Map<String, String> signed = new LinkedHashMap<>(query);
    signed.remove("user.name"); // added for the proxy after signing
    String right = Signatures.sign(key, Signatures.requestText(method, path, signed, content));
    StringBuilder url = new StringBuilder("http://127.0.0.1:" + running.api.port() + path + "?");
    query.forEach((name, value) -> url.append(name).append('=').append(value).append('&'));
    url.append("ksig=").append(signature == null ? right : signature);
    HttpURLConnection connection = (HttpURLConnection) new URL(url.toString()).openConnection();
    connection.setReadTimeout(20_000);
    connection.setRequestMethod(method);
    if (body != null) {
      connection.setDoOutput(true);
      connection.getOutputStream().write(content);
    }
    status = connection.getResponseCode();
    read(new String(all(status < 400 ? connection.getInputStream() : connection.getErrorStream()), StandardCharsets.UTF_8));
    return this;
  }

  /** A request as it goes over the wire. */
  String request(String method, String path, String body) {
    StringBuilder text = new StringBuilder(method + " " + path + "?");
    query.forEach((name, value) -> text.append(name).append('=').append(value).append('&'));
    return text + "ksig=" + Signatures.sign(key, Signatures.requestText(method, path, query, body.getBytes(StandardCharsets.UTF_8)))
        + " HTTP/1.1\r\nHost: x\r\nContent-Length: " + body.length() + "\r\n\r\n" + body;
  }

  private void read(String text) {
    reply = null;
    if (!text.startsWith("{\"signature\":\"")) {
      return;
    }
    String given = (String) ((Map<?, ?>) Json.parse(text.getBytes(StandardCharsets.UTF_8))).get("signature");
    String prefix = "{\"signature\":\"" + given + "\",\"reply\":";
    String inner = text.substring(prefix.length(), text.length() - 1);
    reply = (Map<?, ?>) Json.parse(inner.getBytes(StandardCharsets.UTF_8));
    String right = Signatures.sign(key, Signatures.replyText(query.getOrDefault("knonce", ""), status,
        inner.getBytes(StandardCharsets.UTF_8)));
    signed = given.equals(right);
    if (!signed && !given.isEmpty()) {
      throw new AssertionError("the reply's signature is neither right nor empty: " + text);
    }
  }

  /** Status, then the error's code: {@code 401 stale signed}. */
  String outcome() {
    return status + (reply != null && reply.containsKey("error") ? " " + reply.get("error") : "") + (signed ? " signed" : "");
  }

  private static byte[] all(InputStream in) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    byte[] buffer = new byte[4096];
    for (int count = in == null ? -1 : in.read(buffer); count >= 0; count = in.read(buffer)) {
      out.write(buffer, 0, count);
    }
    return out.toByteArray();
  }
}
