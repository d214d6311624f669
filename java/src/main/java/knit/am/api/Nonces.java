package knit.am.api;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Map;
import java.util.TreeMap;

/**
 * Remembers each nonce for as long as the request that carried it could be sent again, and bounds how many: the client has
 * a part of its own, and each container may have a share of what the others have left, so that one that asks without end
 * is refused and nobody else. A nonce is kept as 64 bits of a hash, 11 to 21 bytes each, 8.5 MB when all are used; what
 * signers have asked for takes 32 to 64 bytes for each that did so within two minutes.
 */
public final class Nonces {
  /** Of all containers together. */
  static final int CONTAINERS = 300_000;
  static final int CLIENT = 100_000;
  /** Of the client's, only for calls that end something. */
  static final int RESERVE = 1_000;
  /** A container may have one part in so many of what is free. */
  static final int SHARE = 16;
  private static final long SLOT = 5_000;

  private static final class Slot {
    final LongHashSet client = new LongHashSet(false);
    final LongHashSet containers = new LongHashSet(false);
  }

  private final long valid;
  private final TreeMap<Long, Slot> slots = new TreeMap<>();
  /** Slots up to here are forgotten. */
  private long forgotten = Long.MIN_VALUE;
  private int ofClient;
  private int ofContainers;
  /** How many requests of each container passed in this period, which is as long as a time is valid, and the last. */
  private LongHashSet counts = new LongHashSet(true);
  private LongHashSet before = new LongHashSet(true);
  private long period;

  /** What became of a nonce. */
  public enum Answer {
    NEW,
    SEEN,
    /** So old that it would have been forgotten; with a clock that is never set back, the Authenticator has refused it before. */
    STALE,
    FULL
  }

  /** @param valid for how long after its time a request is accepted, in milliseconds */
  public Nonces(long valid) {
    this.valid = valid;
  }

  /**
   * @param container who signs, null for the client
   * @param ends whether it is a call that ends something, for which the client has a reserve
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
    if (container == null ? ofClient >= CLIENT - (ends ? 0 : RESERVE) : !mayAsk(hash(container), now)) {
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

  /** Whether a container has asked for less than its share within about as long as a time is valid. */
  private boolean mayAsk(long container, long now) {
    if (Math.abs(now - period) >= valid) {
      before = Math.abs(now - period) < 2 * valid ? counts : new LongHashSet(true);
      counts = new LongHashSet(true);
      period = now - Math.floorMod(now, valid);
    }
    double rest = 1 - (double) Math.max(0, now - period) / valid;
    double asked = counts.count(container) + before.count(container) * Math.min(1, rest);
    return asked < (double) (CONTAINERS - ofContainers) / SHARE;
  }

  /** Of as many values as there are requests in a minute no two are the same by chance in a thousand years. */
  private static long hash(String text) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
      return ByteBuffer.wrap(digest).getLong();
    } catch (GeneralSecurityException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  /** What all tables take of the heap. */
  synchronized long bytes() {
    long bytes = counts.bytes() + before.bytes();
    for (Slot slot : slots.values()) {
      bytes += slot.client.bytes() + slot.containers.bytes();
    }
    return bytes;
  }
}
