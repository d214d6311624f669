package knit.am.api;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * The threads that read requests. The JDK's server reads a whole request in one thread, so each half-sent request holds a
 * thread until the server closes it after {@link HttpLimits#REQUEST_SECONDS}. While other requests wait for a thread, this class
 * closes the connections of the requests that have been read for longest, if for longer than
 * {@link HttpLimits#LEAST_REQUEST_TIME}. It cannot tell senders apart: the server shows no address before the headers are read.
 */
final class SlowRequestLimit implements Executor {
  /** Milliseconds between two checks while requests wait. */
  private static final long INTERVAL = 100;

  private final ThreadPoolExecutor threads;
  private final ScheduledExecutorService timer;
  /** When each thread began to read its request, the oldest first. */
  private final Map<Thread, Long> reading = new LinkedHashMap<>();
  private boolean watching;

  SlowRequestLimit(ThreadPoolExecutor threads, ScheduledExecutorService timer) {
    this.threads = threads;
    this.timer = timer;
  }

  @Override
  public void execute(Runnable exchange) {
    threads.execute(() -> {
      begin();
      try {
        exchange.run();
      } finally {
        end();
        Thread.interrupted(); // in case it was closed at the moment of its end
      }
    });
    if (!threads.getQueue().isEmpty()) {
      watch();
    }
  }

  /**
   * The request that this thread reads has arrived.
   *
   * @throws IOException if its connection was closed
   */
  void arrived() throws IOException {
    if (!end()) {
      throw new InterruptedIOException(
          "closed: it took longer than " + HttpLimits.LEAST_REQUEST_TIME + " ms to arrive, and others waited");
    }
  }

  private synchronized void begin() {
    reading.put(Thread.currentThread(), System.nanoTime());
  }

  private synchronized boolean end() {
    return reading.remove(Thread.currentThread()) != null;
  }

  private synchronized void watch() {
    if (!watching) {
      watching = true;
      timer.schedule(this::check, INTERVAL, TimeUnit.MILLISECONDS);
    }
  }

  private synchronized void check() {
    watching = false;
    int waiting = threads.getQueue().size();
    long latest = System.nanoTime() - TimeUnit.MILLISECONDS.toNanos(HttpLimits.LEAST_REQUEST_TIME);
    Iterator<Map.Entry<Thread, Long>> slowest = reading.entrySet().iterator();
    for (int i = 0; i < waiting && slowest.hasNext(); i++) {
      Map.Entry<Thread, Long> next = slowest.next();
      if (next.getValue() - latest > 0) {
        break;
      }
      next.getKey().interrupt(); // closes the connection that it reads from
      slowest.remove();
    }
    if (waiting > 0) {
      watch();
    }
  }
}
