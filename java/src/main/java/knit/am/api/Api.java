package knit.am.api;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
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

/** The HTTP side: bytes in and out, limits, the signed envelope. The Authenticator decides who may pass, Calls what is answered. */
public final class Api {
  /** Each half-sent request holds one until it is given up, after 10 s or as soon as others wait for it; idle ones go. */
  private static final int THREADS = 256;
  /** Of these at most so many for pages, which are passed on from containers that may be slow. */
  private static final int PAGES = 64;
  /** Threads that send replies, to containers and to the client: who does not read holds one until it is given up. */
  private static final int SENDERS = 64;
  /** Of these at most so many for one container. */
  private static final int EACH = 4;
  /** Seconds for the owner thread. */
  private static final int PATIENCE = 30;

  static {
    // Read once, when the JDK's server is first used: without them a half-sent request holds a thread for ever, its
    // headers much of the heap, and each reply waits for the delayed acknowledgement of its header.
    for (String setting : new String[] {"maxReqTime=10", "maxRspTime=60", "maxReqHeaderSize=32768", "nodelay=true"}) {
      String name = "sun.net.httpserver." + setting.substring(0, setting.indexOf('='));
      if (System.getProperty(name) == null) {
        System.setProperty(name, setting.substring(setting.indexOf('=') + 1));
      }
    }
  }

  private final HttpServer server;
  private final SlowRequestLimit readers;
  private final ScheduledThreadPoolExecutor timer;
  private final KeyedExecutor toContainers = new KeyedExecutor(pool(SENDERS, "to-containers"), EACH);
  private final ThreadPoolExecutor toClient = pool(SENDERS, "to-client");
  private final Semaphore pages = new Semaphore(PAGES);
  final OpenCallLimit open = new OpenCallLimit(Runtime.getRuntime().maxMemory());
  private final AtomicInteger busy = new AtomicInteger();
  final BodyLimit bodies = new BodyLimit();
  private volatile Authenticator gate;
  private volatile Router calls;
  private volatile HttpHandler webUi;

  /**
   * Listen; requests are answered with 503 until {@link #open}.
   *
   * @param host whose address to listen on
   * @param first of the ports to try, 0 for any
   * @param last of the ports to try
   * @throws IOException if none of the ports is free
   */
  public Api(String host, int first, int last) throws IOException {
    server = listen(address(host), first, last);
    timer = new ScheduledThreadPoolExecutor(1, task -> daemon(task, "api-timer"));
    timer.setRemoveOnCancelPolicy(true);
    readers = new SlowRequestLimit(pool(THREADS, "api"), timer);
    server.setExecutor(readers);
    server.createContext("/", this::handle);
    server.start();
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

  /** A name that means the loopback only to this machine itself is not what others use: listen everywhere then. */
  private static InetAddress address(String host) throws IOException {
    InetAddress address = InetAddress.getByName(host);
    boolean meant = host.equals("localhost") || host.startsWith("127.") || host.contains(":");
    return address.isLoopbackAddress() && !meant ? new InetSocketAddress(0).getAddress() : address;
  }

  private static HttpServer listen(InetAddress address, int first, int last) throws IOException {
    BindException problem = null;
    for (int port = first; port <= last; port++) {
      try {
        return HttpServer.create(new InetSocketAddress(address, port), 128);
      } catch (BindException error) {
        problem = error;
      }
    }
    throw new IOException("no port of " + first + " to " + last + " on " + address + " can be used for the API", problem);
  }

  public int port() {
    return server.getAddress().getPort();
  }

  /**
   * From now on, serve.
   *
   * @param clock one that is never set back
   * @param pages the pages for people, null for none
   */
  public void open(Identity identity, byte[] secret, Consumer<Event> events, Clock clock, HttpHandler pages) {
    calls = new Router(events, clock);
    webUi = pages;
    gate = new Authenticator(secret, identity.attempt, clock);
  }

  /** Answer the call that an event came from. */
  @SuppressWarnings("unchecked")
  public static void answer(Action.Answer answer) {
    ((CompletableFuture<Reply>) answer.ticket).complete(new Reply(answer.status, answer.body));
  }

  /** Let replies under way go out, for at most the given milliseconds. */
  public void drain(long patience) throws InterruptedException {
    long end = System.nanoTime() + patience * 1_000_000;
    while (busy.get() > 0 && System.nanoTime() < end) {
      Thread.sleep(5);
    }
  }

  /** Stop listening. */
  public void close() {
    server.stop(0);
  }

  /** A request that is being answered; it ends once, whoever ends it. */
  private final class Turn {
    final HttpExchange exchange;
    private final AtomicBoolean over = new AtomicBoolean();
    /** Whose open call this is, null if it is nobody's. */
    private volatile Authenticator.Signer signer;

    Turn(HttpExchange exchange) {
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
    Turn turn = new Turn(exchange);
    try {
      serve(turn);
    } catch (IOException | RuntimeException error) {
      Log.line("a request failed: " + Log.reason(error));
      turn.end();
    } catch (Error error) {
      throw died(error);
    }
  }

  /** The JDK's server and its futures swallow errors: whoever watches this thread is told. */
  private static Error died(Error error) {
    Thread thread = Thread.currentThread();
    thread.getUncaughtExceptionHandler().uncaughtException(thread, error);
    return error;
  }

  private void serve(Turn turn) throws IOException {
    HttpExchange exchange = turn.exchange;
    String path = exchange.getRequestURI().getRawPath();
    String method = exchange.getRequestMethod();
    if (path == null || !path.startsWith("/api/")) {
      readers.arrived();
      page(exchange);
      turn.end();
      return;
    }
    Authenticator.Signer signer = null;
    try {
      if (!method.equals("GET") && !method.equals("PUT")) {
        throw Reply.error(405, "method-not-allowed", "only GET and PUT are possible");
      }
      Authenticator present = gate;
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
        turn.open(signer);
        answered(known, calls.start(method, path, signer.query, signer.container, body.bytes,
            open.longest(signer.container)),
            reply -> reply(turn, reply, known));
      }
    } catch (Reply refusal) {
      reply(turn, refusal, signer);
    }
  }

  /** No thread waits for the answer; one that does not come is an answer, too. */
  private void answered(Authenticator.Signer signer, CompletableFuture<Reply> ticket, Consumer<Reply> send) {
    ScheduledFuture<?> late = timer.schedule(() -> ticket.complete(Reply.error(503, "busy",
        "no answer from the ApplicationMaster's owner thread within " + PATIENCE + " s")),
        PATIENCE + Router.MAX_WAIT, TimeUnit.SECONDS);
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

  private void reply(Turn turn, Reply reply, Authenticator.Signer signer) {
    try {
      send(turn.exchange, reply.status, "application/json", envelope(reply, signer));
    } catch (IOException error) {
      Log.line("a reply could not be sent: " + Log.reason(error));
    } finally {
      turn.end();
    }
  }

  private void page(HttpExchange exchange) throws IOException {
    HttpHandler present = webUi;
    if (present == null) {
      send(exchange, 404, "text/plain", "There is no page here.\n".getBytes(StandardCharsets.US_ASCII));
    } else if (!pages.tryAcquire()) {
      send(exchange, 503, "text/plain", "Too many pages are being looked at.\n".getBytes(StandardCharsets.US_ASCII));
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
