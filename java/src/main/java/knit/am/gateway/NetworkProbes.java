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

/** Probes containers over the network. One thread serves all connections without blocking. */
public final class NetworkProbes implements Probes {
  /** Connections at a time. Further probes wait; their time-outs begin when they connect. */
  static final int LIMIT = 1_024;
  /** Threads that resolve host names, which blocks. */
  private static final int RESOLVERS = 4;
  /** Milliseconds for which a node's address is used. */
  private static final long AGE = 300_000;
  /** Milliseconds between two checks for time-outs. */
  private static final long STEP = 50;
  private static final Pattern GOOD = Pattern.compile("HTTP/1\\.[0-9] [23][0-9][0-9]");

  private final Selector selector;
  private final ExecutorService resolvers;
  private final Map<String, Known> addresses = new ConcurrentHashMap<>();
  /** New probes for the thread. The thread alone uses the following fields. */
  private final Queue<Probe> added = new ConcurrentLinkedQueue<>();
  private final Deque<Probe> waiting = new ArrayDeque<>();

  private static final class Known {
    final InetAddress address;
    final long until = now() + AGE;

    Known(InetAddress address) {
      this.address = address;
    }
  }

  private static final class Probe {
    final String host;
    final Spec.Readiness readiness;
    final Consumer<Boolean> answer;
    InetAddress address;
    SocketChannel channel;
    long deadline;
    /** The unsent part of the request, null for TCP. */
    ByteBuffer request;
    /** The beginning of the reply. */
    final ByteBuffer reply = ByteBuffer.allocate("HTTP/1.1 200".length());

    Probe(String host, Spec.Readiness readiness, Consumer<Boolean> answer) {
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
    Probe probe = new Probe(host, readiness, answer);
    Known known = addresses.get(host);
    if (known != null && known.until > now()) {
      add(probe, known.address);
    } else {
      resolvers.execute(() -> resolve(probe));
    }
  }

  private void resolve(Probe probe) {
    try {
      Known known = new Known(InetAddress.getByName(probe.host));
      addresses.put(probe.host, known);
      add(probe, known.address);
    } catch (UnknownHostException error) {
      probe.answer.accept(false);
    }
  }

  private void add(Probe probe, InetAddress address) {
    probe.address = address;
    added.add(probe);
    selector.wakeup();
  }

  private void run() {
    try {
      while (true) {
        selector.select(selector.keys().isEmpty() ? 0 : STEP);
        for (SelectionKey key : selector.selectedKeys()) {
          proceed((Probe) key.attachment(), key);
        }
        selector.selectedKeys().clear();
        expire();
        for (Probe probe = added.poll(); probe != null; probe = added.poll()) {
          waiting.add(probe);
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
      Probe probe = (Probe) key.attachment();
      if (key.isValid() && probe.deadline <= now) {
        end(probe, false);
      }
    }
  }

  private void begin(Probe probe) {
    probe.deadline = now() + probe.readiness.timeout;
    try {
      probe.channel = SocketChannel.open();
      probe.channel.configureBlocking(false);
      boolean connected = probe.channel.connect(new InetSocketAddress(probe.address, probe.readiness.port));
      SelectionKey key = probe.channel.register(selector, SelectionKey.OP_CONNECT, probe);
      if (connected) {
        proceed(probe, key);
      }
    } catch (IOException | RuntimeException error) {
      end(probe, false);
    }
  }

  /** The next step of a probe whose connection is ready. */
  private void proceed(Probe probe, SelectionKey key) {
    try {
      if (!key.isValid() || !probe.channel.finishConnect()) {
        return;
      }
      if (probe.readiness.kind == Spec.Readiness.Kind.TCP) {
        end(probe, true);
        return;
      }
      if (probe.request == null) {
        probe.request = request(probe);
      }
      probe.channel.write(probe.request);
      key.interestOps(probe.request.hasRemaining() ? SelectionKey.OP_WRITE : SelectionKey.OP_READ);
      int count = probe.channel.read(probe.reply);
      if (count < 0 || !probe.reply.hasRemaining()) {
        String beginning = new String(probe.reply.array(), 0, probe.reply.position(), StandardCharsets.ISO_8859_1);
        end(probe, GOOD.matcher(beginning).matches());
      }
    } catch (IOException | RuntimeException error) {
      end(probe, false);
    }
  }

  private static ByteBuffer request(Probe probe) {
    String host = probe.host.contains(":") ? "[" + probe.host + "]" : probe.host;
    String text = "GET " + probe.readiness.path + " HTTP/1.1\r\nHost: " + host + ":" + probe.readiness.port
        + "\r\nUser-Agent: knit\r\nAccept: */*\r\nConnection: close\r\n\r\n";
    return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
  }

  private static void end(Probe probe, boolean ready) {
    try {
      if (probe.channel != null) {
        probe.channel.close();
      }
    } catch (IOException error) {
      // it is closed
    }
    probe.answer.accept(ready);
  }
}
