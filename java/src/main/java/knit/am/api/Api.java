package knit.am.api;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.Semaphore;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import knit.am.core.message.Action;
import knit.am.core.message.Event;
import knit.am.core.model.Identity;
import knit.am.json.Json;
import knit.am.util.Clock;
import knit.am.util.KeyedExecutor;
import knit.am.util.Log;

/**
 * The HTTP server: {@link Authenticator} checks each request, {@link Router} makes a call of it, this class sends the signed reply.
 * Its limits are in {@link HttpLimits}.
 */
public final class Api {
  static {
    // The JDK's server reads these once, at its first use. With "nodelay" no reply waits for the acknowledgement of its header.
    for (String setting : new String[] {"maxReqTime=" + HttpLimits.REQUEST_SECONDS,
        "maxRspTime=" + HttpLimits.REPLY_SECONDS, "maxReqHeaderSize=" + HttpLimits.HEADER_BYTES, "nodelay=true"}) {
      String name = "sun.net.httpserver." + setting.substring(0, setting.indexOf('='));
      if (System.getProperty(name) == null) {
        System.setProperty(name, setting.substring(setting.indexOf('=') + 1));
      }
    }
  }

  private final HttpServer server;
  /** For the ResourceManager's proxy; null if it is to use {@link #server}. */
  private final HttpsServer proxyServer;
  private final SlowRequestLimit readers;
  private final ScheduledThreadPoolExecutor timer;
  private final KeyedExecutor toContainers = new KeyedExecutor(pool(HttpLimits.SENDERS, "to-containers"),
      HttpLimits.SENDERS_EACH);
  private final ThreadPoolExecutor toClient = pool(HttpLimits.SENDERS, "to-client");
  private final Semaphore pages = new Semaphore(HttpLimits.PAGES);
  final OpenCallLimit open = new OpenCallLimit(Runtime.getRuntime().maxMemory());
  private final AtomicInteger busy = new AtomicInteger();
  final BodyLimit bodies = new BodyLimit();
  private volatile Authenticator authenticator;
  private volatile Router router;
  private volatile HttpHandler webUi;

  /**
   * Listen; requests are answered with 503 until {@link #open}.
   *
   * @param host the name of the address to listen on
   * @param first the first port to try, 0 for any
   * @param last the last port to try
   * @param tls for the ResourceManager's proxy, which uses a port of its own then; null for none
   * @throws IOException if none of the ports is free
   */
  public Api(String host, int first, int last, ProxyTls tls) throws IOException {
    server = listen(address(host), first, last, HttpServer::create);
    proxyServer = tls == null ? null : listen(address(host), first, last, HttpsServer::create);
    timer = new ScheduledThreadPoolExecutor(1, task -> daemon(task, "api-timer"));
    timer.setRemoveOnCancelPolicy(true);
    readers = new SlowRequestLimit(pool(HttpLimits.READERS, "api"), timer);
    if (proxyServer != null) {
      proxyServer.setHttpsConfigurator(tls.configurator());
      start(proxyServer);
    }
    start(server);
  }

  private void start(HttpServer one) {
    one.setExecutor(readers);
    one.createContext("/", this::handle);
    one.start();
  }

  private static ThreadPoolExecutor pool(int threads, String name) {
    ThreadPoolExecutor pool = new ThreadPoolExecutor(threads, threads, 5, TimeUnit.SECONDS, new LinkedBlockingQueue<>(),
        task -> daemon(task, name));
    pool.allowCoreThreadTimeOut(true);
    return pool;
  }

  private static Thread daemon(Runnable task, String name) {
    Thread thread = new Thread(task, name);
    thread.setDaemon(true);
    return thread;
  }

  /** If only this machine resolves the host to a loopback address, listen on all addresses, as others use another one. */
  private static InetAddress address(String host) throws IOException {
    InetAddress address = InetAddress.getByName(host);
    boolean meant = host.equals("localhost") || host.startsWith("127.") || host.contains(":");
    return address.isLoopbackAddress() && !meant ? new InetSocketAddress(0).getAddress() : address;
  }

  private interface Listener<S extends HttpServer> {
    S listen(InetSocketAddress address, int backlog) throws IOException;
  }

  private static <S extends HttpServer> S listen(InetAddress address, int first, int last, Listener<S> listener)
      throws IOException {
    BindException problem = null;
    for (int port = first; port <= last; port++) {
      try {
        return listener.listen(new InetSocketAddress(address, port), 128);
      } catch (BindException error) {
        problem = error;
      }
    }
    throw new IOException("no port of " + first + " to " + last + " on " + address + " can be used for the API", problem);
  }

  public int port() {
    return server.getAddress().getPort();
  }

  /** Where the ResourceManager's proxy reaches the application on this host. */
  public String trackingUrl(String host) {
    return proxyServer == null ? "http://" + host + ":" + port() + "/"
        : "https://" + host + ":" + proxyServer.getAddress().getPort() + "/";
  }

  /**
   * Serve requests from now on.
   *
   * @param clock one that is never set back
   * @param pages serves the web pages, null for none
   */
  public void open(Identity identity, byte[] secret, Consumer<Event> events, Clock clock, HttpHandler pages) {
    router = new Router(events, clock);
    webUi = pages;
    authenticator = new Authenticator(secret, identity.attempt, clock);
  }

  /** Answer the call that an event came from. */
  @SuppressWarnings("unchecked")
  public static void answer(Action.Answer answer) {
    ((CompletableFuture<Reply>) answer.ticket).complete(new Reply(answer.status, answer.body));
  }

  /** Wait until all replies are sent, for at most the given milliseconds. */
  public void drain(long timeout) throws InterruptedException {
    long end = System.nanoTime() + timeout * 1_000_000;
    while (busy.get() > 0 && System.nanoTime() < end) {
      Thread.sleep(5);
    }
  }

  /** Stop listening. */
  public void close() {
    server.stop(0);
    if (proxyServer != null) {
      proxyServer.stop(0);
    }
  }

  /** A request that is being answered. It ends once, from whichever thread. */
  private final class Exchange {
    final HttpExchange exchange;
    private final AtomicBoolean over = new AtomicBoolean();
    /** The caller of an open call, null if it is none. */
    private volatile Authenticator.Signer signer;

    Exchange(HttpExchange exchange) {
      this.exchange = exchange;
      busy.incrementAndGet();
    }

    void open(Authenticator.Signer caller) throws Reply {
      if (!open.begin(caller.container, caller.ends)) {
        throw Reply.error(503, "busy", "more open calls than this caller's share");
      }
      signer = caller;
    }

    void end() {
      if (over.compareAndSet(false, true)) {
        exchange.close();
        busy.decrementAndGet();
        if (signer != null) {
          open.end(signer.container);
        }
      }
    }
  }

  private void handle(HttpExchange exchange) {
    Exchange request = new Exchange(exchange);
    try {
      serve(request);
    } catch (IOException | RuntimeException error) {
      Log.line("a request failed: " + Log.reason(error));
      request.end();
    } catch (Error error) {
      throw died(error);
    }
  }

  /** Give an error to the thread's handler: the JDK's server and its futures would drop it. */
  private static Error died(Error error) {
    Thread thread = Thread.currentThread();
    thread.getUncaughtExceptionHandler().uncaughtException(thread, error);
    return error;
  }

  private void serve(Exchange request) throws IOException {
    HttpExchange exchange = request.exchange;
    String path = exchange.getRequestURI().getRawPath();
    String method = exchange.getRequestMethod();
    if (path == null || !path.startsWith("/api/")) {
      readers.arrived();
      page(exchange);
      request.end();
      return;
    }
    Authenticator.Signer signer = null;
    try {
      if (!method.equals("GET") && !method.equals("PUT")) {
        throw Reply.error(405, "method-not-allowed", "only GET and PUT are possible");
      }
      Authenticator present = authenticator;
      if (present == null) {
        throw Reply.error(503, "starting", "the ApplicationMaster is starting");
      }
      try (BodyLimit.Body body = bodies.read(exchange)) {
        readers.arrived();
        signer = present.identify(method, path, exchange.getRequestURI().getRawQuery(), body.bytes);
        if (signer.refusal != null) {
          throw signer.refusal;
        }
        Authenticator.Signer known = signer;
        request.open(signer);
        answered(known, router.start(method, path, signer.query, signer.container, body.bytes,
            open.longest(signer.container)),
            reply -> reply(request, reply, known));
      }
    } catch (Reply refusal) {
      reply(request, refusal, signer);
    }
  }

  /** Send the reply when it is there. No thread waits for it. Without one in time the reply is 503. */
  private void answered(Authenticator.Signer signer, CompletableFuture<Reply> ticket, Consumer<Reply> send) {
    ScheduledFuture<?> late = timer.schedule(() -> ticket.complete(Reply.error(503, "busy",
        "no answer from the ApplicationMaster's owner thread within " + HttpLimits.OWNER_SECONDS + " s")),
        HttpLimits.OWNER_SECONDS + HttpLimits.MAX_WAIT, TimeUnit.SECONDS);
    Executor senders = signer.container == null ? toClient : task -> toContainers.add(signer.container, task);
    ticket.whenCompleteAsync((reply, error) -> {
      late.cancel(false);
      try {
        send.accept(reply);
      } catch (Error broken) {
        throw died(broken);
      }
    }, senders);
  }

  private void reply(Exchange request, Reply reply, Authenticator.Signer signer) {
    try {
      send(request.exchange, reply.status, "application/json", envelope(reply, signer));
    } catch (IOException error) {
      Log.line("a reply could not be sent: " + Log.reason(error));
    } finally {
      request.end();
    }
  }

  private void page(HttpExchange exchange) throws IOException {
    HttpHandler present = webUi;
    if (present == null) {
      send(exchange, 404, "text/plain", "There is no page at this path.\n".getBytes(StandardCharsets.US_ASCII));
    } else if (!pages.tryAcquire()) {
      send(exchange, 503, "text/plain",
          ("More than " + HttpLimits.PAGES + " pages are requested at a time.\n").getBytes(StandardCharsets.US_ASCII));
    } else {
      try {
        present.handle(exchange);
      } finally {
        pages.release();
      }
    }
  }

  private static byte[] envelope(Reply reply, Authenticator.Signer signer) {
    String text = Json.write(reply.body);
    String signature = signer == null ? "" : Signatures.sign(signer.key,
        Signatures.replyText(signer.nonce, reply.status, text.getBytes(StandardCharsets.US_ASCII)));
    return ("{\"signature\":\"" + signature + "\",\"reply\":" + text + "}").getBytes(StandardCharsets.US_ASCII);
  }

  static void send(HttpExchange exchange, int status, String type, byte[] content) throws IOException {
    exchange.getResponseHeaders().set("Content-Type", type);
    exchange.sendResponseHeaders(status, content.length);
    try (OutputStream out = exchange.getResponseBody()) {
      out.write(content);
    }
  }
}
