package knit.am.api;

/** A set of 64-bit hashes in an array, optionally with a count for each. It takes a twentieth of the memory of objects. */
final class LongHashSet {
  /** 0 for a free place. */
  private long[] keys = new long[64];
  private int[] counts;
  private int size;

  LongHashSet(boolean counting) {
    counts = counting ? new int[keys.length] : null;
  }

  void add(long hash) {
    if (size * 4 >= keys.length * 3) {
      grow();
    }
    int at = place(hash);
    if (keys[at] == 0) {
      keys[at] = key(hash);
      size++;
    }
    if (counts != null) {
      counts[at]++;
    }
  }

  boolean contains(long hash) {
    return keys[place(hash)] != 0;
  }

  int count(long hash) {
    return counts[place(hash)];
  }

  int size() {
    return size;
  }

  long bytes() {
    return keys.length * (counts == null ? 8L : 12L);
  }

  private void grow() {
    long[] oldKeys = keys;
    int[] oldCounts = counts;
    keys = new long[2 * oldKeys.length];
    counts = oldCounts == null ? null : new int[keys.length];
    for (int i = 0; i < oldKeys.length; i++) {
      if (oldKeys[i] != 0) {
        int at = place(oldKeys[i]);
        keys[at] = oldKeys[i];
        if (counts != null) {
          counts[at] = oldCounts[i];
        }
      }
    }
  }

  private static long key(long hash) {
    return hash == 0 ? 1 : hash;
  }

  /** The place of a hash, or a free one for it. */
  private int place(long hash) {
    long key = key(hash);
    int at = (int) key & keys.length - 1;
    while (keys[at] != 0 && keys[at] != key) {
      at = at + 1 & keys.length - 1;
    }
    return at;
  }
}
