package knit.am.api;

import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Remembers each nonce for as long as the request that carried it could be sent again. */
public final class Nonces {
  static final int LIMIT = 200_000;
  private static final long SLOT = 10_000;

  private final TreeMap<Long, Set<String>> slots = new TreeMap<>();
  private int size;

  /** What became of a nonce. */
  public enum Answer {
    NEW,
    SEEN,
    FULL
  }

  /**
   * @param time the request's own time
   * @param valid for how long after its time it is accepted, in milliseconds
   */
  public synchronized Answer add(String nonce, long time, long valid, long now) {
    while (!slots.isEmpty() && slots.firstKey() * SLOT + SLOT + valid < now) {
      Map.Entry<Long, Set<String>> old = slots.pollFirstEntry();
      size -= old.getValue().size();
    }
    for (Set<String> slot : slots.values()) {
      if (slot.contains(nonce)) {
        return Answer.SEEN;
      }
    }
    if (size >= LIMIT) {
      return Answer.FULL;
    }
    slots.computeIfAbsent(Math.floorDiv(time, SLOT), key -> new HashSet<>()).add(nonce);
    size++;
    return Answer.NEW;
  }

  synchronized int size() {
    return size;
  }
}
