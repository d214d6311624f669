package knit.am.api;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Map;
import java.util.TreeMap;

/**
 * Keeps each nonce while its request could be replayed, and bounds the number of requests within that time. The client has a part
 * for itself. Each container may have a share of what the others leave, so that only a container that sends too many is refused.
 * A nonce is kept as 64 bits of a hash, in 11 to 21 bytes, 8.5 MB for all. The counts of requests take 32 to 64 bytes for each
 * container with a request within two minutes.
 */
public final class Nonces {
  private static final long SLOT = 5_000;

  private static final class Slot {
    final LongHashSet client = new LongHashSet(false);
    final LongHashSet containers = new LongHashSet(false);
  }

  private final long valid;
  private final TreeMap<Long, Slot> slots = new TreeMap<>();
  /** Slots up to this one are dropped. */
  private long forgotten = Long.MIN_VALUE;
  private int ofClient;
  private int ofContainers;
  /** Requests of each container in this period, which is as long as a request is valid, and in the period before. */
  private LongHashSet counts = new LongHashSet(true);
  private LongHashSet before = new LongHashSet(true);
  private long period;

  /** The result of a check. */
  public enum Answer {
    NEW,
    SEEN,
    /** Older than the kept nonces. With a clock that is never set back, the Authenticator refuses such requests before. */
    STALE,
    FULL
  }

  /** @param valid for how long after its time a request is accepted, in milliseconds */
  public Nonces(long valid) {
    this.valid = valid;
  }

  /**
   * Check and keep a nonce.
   *
   * @param container the signer, null for the client
   * @param ends whether the call ends something, for which the client has a reserve
   * @param time the request's own time
   */
  public synchronized Answer add(String container, String nonce, boolean ends, long time, long now) {
    forget(now);
    long slot = Math.floorDiv(time, SLOT);
    if (slot <= forgotten) {
      return Answer.STALE;
    }
    long hash = hash(container + " " + nonce);
    for (Slot one : slots.values()) {
      if ((container == null ? one.client : one.containers).contains(hash)) {
        return Answer.SEEN;
      }
    }
    int forClient = HttpLimits.CLIENT_REQUESTS - (ends ? 0 : HttpLimits.REQUEST_RESERVE);
    if (container == null ? ofClient >= forClient : !hasShare(hash(container), now)) {
      return Answer.FULL;
    }
    Slot mine = slots.computeIfAbsent(slot, key -> new Slot());
    if (container == null) {
      mine.client.add(hash);
      ofClient++;
    } else {
      mine.containers.add(hash);
      ofContainers++;
      counts.add(hash(container));
    }
    return Answer.NEW;
  }

  private void forget(long now) {
    while (!slots.isEmpty() && slots.firstKey() * SLOT + SLOT + valid < now) {
      Map.Entry<Long, Slot> old = slots.pollFirstEntry();
      forgotten = old.getKey();
      ofClient -= old.getValue().client.size();
      ofContainers -= old.getValue().containers.size();
    }
  }

  /** Whether a container has sent fewer requests than its share, within about the time for which a request is valid. */
  private boolean hasShare(long container, long now) {
    if (Math.abs(now - period) >= valid) {
      before = Math.abs(now - period) < 2 * valid ? counts : new LongHashSet(true);
      counts = new LongHashSet(true);
      period = now - Math.floorMod(now, valid);
    }
    double rest = 1 - (double) Math.max(0, now - period) / valid;
    double asked = counts.count(container) + before.count(container) * Math.min(1, rest);
    return asked < (double) (HttpLimits.CONTAINER_REQUESTS - ofContainers) / HttpLimits.CONTAINER_SHARE;
  }

  /** 64 bits: among the requests of a minute no two are equal by chance within a thousand years. */
  private static long hash(String text) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
      return ByteBuffer.wrap(digest).getLong();
    } catch (GeneralSecurityException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  /** Memory of all tables. */
  synchronized long bytes() {
    long bytes = counts.bytes() + before.bytes();
    for (Slot slot : slots.values()) {
      bytes += slot.client.bytes() + slot.containers.bytes();
    }
    return bytes;
  }
}
