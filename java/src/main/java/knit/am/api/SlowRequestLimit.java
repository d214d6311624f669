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
 * The threads that requests are read in. The JDK's server reads a request, its headers too, in the thread that answers it, so
 * whoever sends requests by halves holds one with each until the server gives it up after ten seconds. While requests wait for a
 * thread, those that have been read for longest are cut off, if that is for longer than {@link #LEAST}. (Who has sent them
 * cannot be told here: the server shows no address before it has read the headers.)
 */
final class SlowRequestLimit implements Executor {
  /** Milliseconds that a request may take to arrive, whoever else waits. */
  static final long LEAST = 1_000;
  private static final long LOOK = 100;

  private final ThreadPoolExecutor threads;
  private final ScheduledExecutorService timer;
  /** Since when each thread has been reading a request, the first one first. */
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
        Thread.interrupted(); // it may have been cut off in the moment in which it ended
      }
    });
    if (!threads.getQueue().isEmpty()) {
      watch();
    }
  }

  /**
   * The request that this thread reads has arrived.
   *
   * @throws IOException if it has been cut off
   */
  void arrived() throws IOException {
    if (!end()) {
      throw new InterruptedIOException("cut off: it took longer than " + LEAST + " ms to arrive, and others waited");
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
      timer.schedule(this::look, LOOK, TimeUnit.MILLISECONDS);
    }
  }

  private synchronized void look() {
    watching = false;
    int waiting = threads.getQueue().size();
    long latest = System.nanoTime() - TimeUnit.MILLISECONDS.toNanos(LEAST);
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
