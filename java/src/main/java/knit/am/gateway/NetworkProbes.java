package knit.am.gateway;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import knit.am.core.model.Spec;

/** Over the network, from this process to the containers' nodes: one thread for all connections, none is waited for. */
public final class NetworkProbes implements Probes {
  /** Connections at a time; more wait, and their time counts from when they are begun. */
  static final int LIMIT = 1_024;
  /** Threads that look names up, which blocks. */
  private static final int RESOLVERS = 4;
  /** Milliseconds for which a node's address is remembered. */
  private static final long AGE = 300_000;
  /** Milliseconds between two looks at the clock. */
  private static final long STEP = 50;
  private static final Pattern GOOD = Pattern.compile("HTTP/1\\.[0-9] [23][0-9][0-9]");

  private final Selector selector;
  private final ExecutorService resolvers;
  private final Map<String, Known> addresses = new ConcurrentHashMap<>();
  /** Given to the thread, which alone uses what follows. */
  private final Queue<Look> given = new ConcurrentLinkedQueue<>();
  private final Deque<Look> waiting = new ArrayDeque<>();

  private static final class Known {
    final InetAddress address;
    final long until = now() + AGE;

    Known(InetAddress address) {
      this.address = address;
    }
  }

  private static final class Look {
    final String host;
    final Spec.Readiness readiness;
    final Consumer<Boolean> answer;
    InetAddress address;
    SocketChannel channel;
    long deadline;
    /** What is still to be sent, null for TCP. */
    ByteBuffer request;
    /** The beginning of the reply. */
    final ByteBuffer reply = ByteBuffer.allocate("HTTP/1.1 200".length());

    Look(String host, Spec.Readiness readiness, Consumer<Boolean> answer) {
      this.host = host;
      this.readiness = readiness;
      this.answer = answer;
    }
  }

  public NetworkProbes() throws IOException {
    selector = Selector.open();
    ThreadPoolExecutor pool = new ThreadPoolExecutor(RESOLVERS, RESOLVERS, 10, TimeUnit.SECONDS,
        new LinkedBlockingQueue<>(), task -> daemon(task, "names"));
    pool.allowCoreThreadTimeOut(true);
    resolvers = pool;
    daemon(this::run, "probes").start();
  }

  private static Thread daemon(Runnable task, String name) {
    Thread thread = new Thread(task, "knit-" + name);
    thread.setDaemon(true);
    return thread;
  }

  private static long now() {
    return System.nanoTime() / 1_000_000;
  }

  @Override
  public void probe(String host, Spec.Readiness readiness, Consumer<Boolean> answer) {
    Look look = new Look(host, readiness, answer);
    Known known = addresses.get(host);
    if (known != null && known.until > now()) {
      give(look, known.address);
    } else {
      resolvers.execute(() -> resolve(look));
    }
  }

  private void resolve(Look look) {
    try {
      Known known = new Known(InetAddress.getByName(look.host));
      addresses.put(look.host, known);
      give(look, known.address);
    } catch (UnknownHostException error) {
      look.answer.accept(false);
    }
  }

  private void give(Look look, InetAddress address) {
    look.address = address;
    given.add(look);
    selector.wakeup();
  }

  private void run() {
    try {
      while (true) {
        selector.select(selector.keys().isEmpty() ? 0 : STEP);
        for (SelectionKey key : selector.selectedKeys()) {
          proceed((Look) key.attachment(), key);
        }
        selector.selectedKeys().clear();
        expire();
        for (Look look = given.poll(); look != null; look = given.poll()) {
          waiting.add(look);
        }
        selector.selectNow(); // so that closed channels are no longer among the keys
        while (!waiting.isEmpty() && selector.keys().size() < LIMIT) {
          begin(waiting.poll());
        }
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private void expire() {
    long now = now();
    for (SelectionKey key : new ArrayList<>(selector.keys())) {
      Look look = (Look) key.attachment();
      if (key.isValid() && look.deadline <= now) {
        end(look, false);
      }
    }
  }

  private void begin(Look look) {
    look.deadline = now() + look.readiness.timeout;
    try {
      look.channel = SocketChannel.open();
      look.channel.configureBlocking(false);
      boolean connected = look.channel.connect(new InetSocketAddress(look.address, look.readiness.port));
      SelectionKey key = look.channel.register(selector, SelectionKey.OP_CONNECT, look);
      if (connected) {
        proceed(look, key);
      }
    } catch (IOException | RuntimeException error) {
      end(look, false);
    }
  }

  /** The next step of a look whose connection is ready for it. */
  private void proceed(Look look, SelectionKey key) {
    try {
      if (!key.isValid() || !look.channel.finishConnect()) {
        return;
      }
      if (look.readiness.kind == Spec.Readiness.Kind.TCP) {
        end(look, true);
        return;
      }
      if (look.request == null) {
        look.request = request(look);
      }
      look.channel.write(look.request);
      key.interestOps(look.request.hasRemaining() ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
      int count = look.channel.read(look.reply);
      if (count < 0 || !look.reply.hasRemaining()) {
        String beginning = new String(look.reply.array(), 0, look.reply.position(), StandardCharsets.ISO_8859_1);
        end(look, GOOD.matcher(beginning).matches());
      }
    } catch (IOException | RuntimeException error) {
      end(look, false);
    }
  }

  private static ByteBuffer request(Look look) {
    String host = look.host.contains(":") ? "[" + look.host + "]" : look.host;
    String text = "GET " + look.readiness.path + " HTTP/1.1\r\nHost: " + host + ":" + look.readiness.port
        + "\r\nUser-Agent: knit\r\nAccept: */*\r\nConnection: close\r\n\r\n";
    return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
  }

  private static void end(Look look, boolean ready) {
    try {
      if (look.channel != null) {
        look.channel.close();
      }
    } catch (IOException error) {
      // closed all the same
    }
    look.answer.accept(ready);
  }
}
