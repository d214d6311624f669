package knit.am.api;

import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Reads the bodies of requests, and bounds what they hold of the heap together: a signature can be looked at only when
 * the whole body is there, so whoever is sending one may be anybody.
 */
final class Bodies {
  static final int LARGEST = 1 << 20;
  /** Bytes that a body may have without waiting for room; as many times as there are threads, that is little. */
  private static final int SMALL = 8 << 10;
  private static final int ROOM = 4 * LARGEST;
  /** Seconds for others to go. */
  private static final int PATIENCE = 5;

  private final Semaphore room = new Semaphore(ROOM, true);

  /** A body; its bytes count until it is closed. */
  final class Body implements AutoCloseable {
    final byte[] bytes;
    private final int held;

    private Body(byte[] bytes, int held) {
      this.bytes = bytes;
      this.held = held;
    }

    @Override
    public void close() {
      room.release(held);
    }
  }

  /**
   * Read a request's body.
   *
   * @throws Reply if it is larger than {@link #LARGEST}, or others hold the room for it
   */
  Body read(HttpExchange exchange) throws IOException, Reply {
    int size = size(exchange);
    int held = size > SMALL ? size : 0;
    try {
      if (held > 0 && !room.tryAcquire(held, PATIENCE, TimeUnit.SECONDS)) {  // for none it would wait in the line, too
        throw Reply.error(503, "busy", "other calls' bodies have taken the room for this one");
      }
    } catch (InterruptedException error) {
      throw new IOException(error);
    }
    Body body = null;
    try {
      body = new Body(read(exchange.getRequestBody(), size), held);
      return body;
    } finally {
      if (body == null) {
        room.release(held);
      }
    }
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
