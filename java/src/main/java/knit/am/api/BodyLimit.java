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
 * Reads the bodies of requests and bounds the memory of all of them together. A signature covers the whole body, so the sender of a
 * body is not known before it is read.
 */
final class BodyLimit {
  /** Counted bytes, by sender. */
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
   * @throws Reply if it is larger than {@link HttpLimits#BODY}, or others use the memory for it
   */
  Body read(HttpExchange exchange) throws IOException, Reply {
    int size = size(exchange);
    int counted = size > HttpLimits.SMALL_BODY ? size : 0;
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
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(HttpLimits.BODY_SECONDS);
    while (size > 0 && (all + size > HttpLimits.ALL_BODIES || held.getOrDefault(sender, 0) + size > HttpLimits.BODIES_EACH)) {
      long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
      if (left <= 0) {
        throw Reply.error(503, "busy", "the bodies of other calls use the memory for this one");
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

  /** Counted bytes of all senders. */
  synchronized int counted() {
    return all;
  }

  private synchronized void release(InetAddress sender, int size) {
    all -= size;
    held.computeIfPresent(sender, (key, its) -> its == size ? null : its - size);
    notifyAll();
  }

  /** The most bytes that the body can have. */
  private static int size(HttpExchange exchange) throws Reply {
    if (exchange.getRequestHeaders().containsKey("Transfer-Encoding")) {
      return HttpLimits.BODY;
    }
    String length = exchange.getRequestHeaders().getFirst("Content-Length");
    try {
      long size = length == null ? 0 : Long.parseLong(length);
      if (size > HttpLimits.BODY) {
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
    return Reply.error(413, "too-large", "a body has at most " + HttpLimits.BODY + " bytes");
  }
}
