package knit.am.api;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UnsupportedEncodingException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.Proxy;
import java.net.URL;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.function.Predicate;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Identity;
import knit.am.json.Json;
import knit.am.util.Clock;

/**
 * The web pages: the application's at {@code /}, those of its containers below {@code /pages/}. Only the ResourceManager's
 * proxy, which authenticates users, gets them; other requests are redirected to it.
 */
public final class WebUi implements HttpHandler {
  /** Milliseconds for the owner thread, and for a container. */
  private static final int TIMEOUT = 20_000;
  private static final String COOKIE = "proxy-user=";

  private final Identity identity;
  private final Proxies proxies;
  private final Predicate<String> mayView;
  private final Consumer<Event> events;
  private final Clock clock;

  /** The ResourceManager's web proxies. */
  public interface Proxies {
    boolean contains(InetAddress address);

    /** The application's URL at the proxy, without a slash at the end. */
    String address();
  }

  /** @param mayView whether a user may see the application */
  public WebUi(Identity identity, Proxies proxies, Predicate<String> mayView, Consumer<Event> events, Clock clock) {
    this.identity = identity;
    this.proxies = proxies;
    this.mayView = mayView;
    this.events = events;
    this.clock = clock;
  }

  @Override
  public void handle(HttpExchange exchange) throws IOException {
    String path = String.valueOf(exchange.getRequestURI().getRawPath());
    if (!exchange.getRequestMethod().equals("GET")) {
      plain(exchange, 405, "Only GET is possible for pages.");
    } else if (!proxies.contains(exchange.getRemoteAddress().getAddress())) {
      exchange.getResponseHeaders().set("Location", proxies.address() + path);
      plain(exchange, 302, "This page is shown by the ResourceManager: " + proxies.address());
    } else if (!mayView.test(viewer(exchange))) {
      plain(exchange, 403, "You may not see this application; its owner can allow it (acls.view).");
    } else if (path.equals("/") || path.isEmpty()) {
      file(exchange, "index.html", "text/html; charset=utf-8");
    } else if (path.equals("/ui/knit.js")) {
      file(exchange, "knit.js", "text/javascript; charset=utf-8");
    } else if (path.equals("/ui/knit.css")) {
      file(exchange, "knit.css", "text/css; charset=utf-8");
    } else if (path.equals("/ui/state.json")) {
      send(exchange, 200, "application/json", Json.write(state(Call.What.PAGE)).getBytes(StandardCharsets.US_ASCII));
    } else if (path.startsWith("/pages/")) {
      forward(exchange, path);
    } else {
      plain(exchange, 404, "There is no page at this path.");
    }
  }

  /** The user that the proxy has authenticated; empty without one. */
  private static String viewer(HttpExchange exchange) {
    String found = "";
    for (String header : exchange.getRequestHeaders().getOrDefault("Cookie", Collections.emptyList())) {
      for (String cookie : header.split(";")) {
        if (cookie.trim().startsWith(COOKIE)) {
          found = cookie.trim().substring(COOKIE.length());
        }
      }
    }
    try {
      return URLDecoder.decode(found, "UTF-8"); // the proxy encodes what a cookie cannot hold
    } catch (UnsupportedEncodingException | IllegalArgumentException error) {
      return ""; // no user has this name
    }
  }

  private Map<String, Object> state(Call.What what) throws IOException {
    CompletableFuture<Reply> ticket = new CompletableFuture<>();
    events.accept(new Call.Read(clock.now(), ticket, what));
    try {
      return ticket.get(TIMEOUT, TimeUnit.MILLISECONDS).body;
    } catch (InterruptedException | ExecutionException | TimeoutException error) {
      throw new IOException("no answer from the owner thread", error);
    }
  }

  // A container's page

  private void forward(HttpExchange exchange, String path) throws IOException {
    String rest = path.substring("/pages/".length());
    int slash = rest.indexOf('/');
    String name = slash < 0 ? rest : rest.substring(0, slash);
    Map<?, ?> page = (Map<?, ?>) ((Map<?, ?>) state(Call.What.APPLICATION).get("pages")).get(name);
    if (page == null) {
      plain(exchange, 404, "There is no page of this name, or its container has ended.");
      return;
    }
    String below = (slash < 0 ? (String) page.get("path") : rest.substring(slash))
        + own(exchange.getRequestURI().getRawQuery());
    URL url = new URL("http", (String) page.get("host"), (Integer) page.get("port"), below);
    HttpURLConnection connection = (HttpURLConnection) url.openConnection(Proxy.NO_PROXY);
    try {
      connection.setConnectTimeout(5_000);
      connection.setReadTimeout(TIMEOUT);
      connection.setInstanceFollowRedirects(false);
      String prefix = "/proxy/" + identity.application + "/pages/" + name;
      connection.setRequestProperty("X-Forwarded-Prefix", prefix);
      String accept = exchange.getRequestHeaders().getFirst("Accept");
      if (accept != null) {
        connection.setRequestProperty("Accept", accept);
      }
      pass(exchange, connection, prefix);
    } catch (IOException error) {
      plain(exchange, 502, "The container does not answer: " + error.getClass().getSimpleName());
    } finally {
      connection.disconnect();
    }
  }

  /** The query without the proxy's parameters: a container must not get a delegation token. */
  private static String own(String query) {
    List<String> kept = new ArrayList<>();
    for (String part : query == null ? new String[0] : query.split("&")) {
      if (!part.isEmpty() && !Authenticator.isProxysOwn(part.split("=", 2)[0])) {
        kept.add(part);
      }
    }
    return kept.isEmpty() ? "" : "?" + String.join("&", kept);
  }

  private static void pass(HttpExchange exchange, HttpURLConnection connection, String prefix) throws IOException {
    int status = connection.getResponseCode();
    Headers headers = exchange.getResponseHeaders();
    for (String name : new String[] {"Content-Type", "Cache-Control", "ETag", "Last-Modified"}) {
      if (connection.getHeaderField(name) != null) {
        headers.set(name, connection.getHeaderField(name));
      }
    }
    String location = connection.getHeaderField("Location");
    if (location != null) {
      headers.set("Location", location.startsWith("/") ? prefix + location : location);
    }
    InputStream in = status < 400 ? connection.getInputStream() : connection.getErrorStream();
    exchange.sendResponseHeaders(status, in == null ? -1 : 0);
    if (in == null) {
      return;
    }
    byte[] buffer = new byte[1 << 14];
    try (OutputStream out = exchange.getResponseBody()) {
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        out.write(buffer, 0, count);
      }
    }
  }

  // Files and replies

  private static void file(HttpExchange exchange, String name, String type) throws IOException {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    byte[] buffer = new byte[8192];
    try (InputStream in = WebUi.class.getResourceAsStream("/knit/am/ui/" + name)) {
      for (int count = in.read(buffer); count >= 0; count = in.read(buffer)) {
        content.write(buffer, 0, count);
      }
    }
    send(exchange, 200, type, content.toByteArray());
  }

  private static void plain(HttpExchange exchange, int status, String text) throws IOException {
    send(exchange, status, "text/plain; charset=utf-8", (text + "\n").getBytes(StandardCharsets.UTF_8));
  }

  private static void send(HttpExchange exchange, int status, String type, byte[] content) throws IOException {
    exchange.getResponseHeaders().set("Content-Security-Policy", "default-src 'self'");
    exchange.getResponseHeaders().set("X-Content-Type-Options", "nosniff");
    exchange.getResponseHeaders().set("Cache-Control", "no-store");
    Api.send(exchange, status, type, content);
  }
}
