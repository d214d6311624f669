package knit.am.api;

import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Reads the bodies of requests, and bounds what they hold of the heap together: a signature can be looked at only when
 * the whole body is there, so whoever is sending one may be anybody.
 */
final class BodyLimit {
  static final int LARGEST = 1 << 20;
  /** Bytes that a body may have without waiting for room; as many times as there are threads, that is little. */
  private static final int SMALL = 8 << 10;
  private static final int ROOM = 4 * LARGEST;
  /** Of it, for requests from one address. */
  private static final int EACH = ROOM / 2;
  /** Seconds for others to go. */
  private static final int PATIENCE = 5;

  /** By who sends them, and in all. */
  private final Map<InetAddress, Integer> held = new HashMap<>();
  private int all;

  /** A body; its bytes count until it is closed. */
  final class Body implements AutoCloseable {
    final byte[] bytes;
    private final InetAddress sender;
    private final int size;

    private Body(byte[] bytes, InetAddress sender, int size) {
      this.bytes = bytes;
      this.sender = sender;
      this.size = size;
    }

    @Override
    public void close() {
      release(sender, size);
    }
  }

  /**
   * Read a request's body.
   *
   * @throws Reply if it is larger than {@link #LARGEST}, or others hold the room for it
   */
  Body read(HttpExchange exchange) throws IOException, Reply {
    int size = size(exchange);
    int counted = size > SMALL ? size : 0;
    InetAddress sender = exchange.getRemoteAddress().getAddress();
    acquire(sender, counted);
    Body body = null;
    try {
      body = new Body(read(exchange.getRequestBody(), size), sender, counted);
      return body;
    } finally {
      if (body == null) {
        release(sender, counted);
      }
    }
  }

  private synchronized void acquire(InetAddress sender, int size) throws IOException, Reply {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE);
    while (size > 0 && (all + size > ROOM || held.getOrDefault(sender, 0) + size > EACH)) {
      long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
      if (left <= 0) {
        throw Reply.error(503, "busy", "other calls' bodies have taken the room for this one");
      }
      try {
        wait(left);
      } catch (InterruptedException error) {
        throw new IOException(error);
      }
    }
    if (size == 0) {
      return;
    }
    all += size;
    held.merge(sender, size, Integer::sum);
  }

  /** How much of the room is taken. */
  synchronized int taken() {
    return all;
  }

  private synchronized void release(InetAddress sender, int size) {
    all -= size;
    held.computeIfPresent(sender, (key, its) -> its == size ? null : its - size);
    notifyAll();
  }

  /** The bytes that it will have at most. */
  private static int size(HttpExchange exchange) throws Reply {
    if (exchange.getRequestHeaders().containsKey("Transfer-Encoding")) {
      return LARGEST;
    }
    String length = exchange.getRequestHeaders().getFirst("Content-Length");
    try {
      long size = length == null ? 0 : Long.parseLong(length);
      if (size > LARGEST) {
        throw tooLarge();
      }
      return (int) Math.max(0, size);
    } catch (NumberFormatException error) {
      throw Reply.error(400, "bad-request", "Content-Length is not a number");
    }
  }

  private static byte[] read(InputStream in, int size) throws IOException, Reply {
    byte[] bytes = new byte[size];
    int count = 0;
    for (int more = 0; count < size && more >= 0; count += Math.max(0, more)) {
      more = in.read(bytes, count, size - count);
    }
    if (count == size && in.read() >= 0) {
      throw tooLarge();
    }
    return count == size ? bytes : Arrays.copyOf(bytes, count);
  }

  private static Reply tooLarge() {
    return Reply.error(413, "too-large", "a body has at most " + LARGEST + " bytes");
  }
}
