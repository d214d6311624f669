package knit.am.api;

import java.util.HashMap;
import java.util.Map;

/**
 * Bounds the calls that are open at a time, held ones and those whose replies are under way: each takes about 30 KB of the
 * heap, most of it the buffers of the JDK's server. The client has a quarter of its own; each container may have a share
 * of what the others leave, so that one that opens calls without end is refused and nobody else.
 */
final class OpenCallLimit {
  private static final long BYTES = 30 << 10;
  private static final int FEWEST = 512;
  private static final int MOST = 6_000;
  /** Seconds for which containers' calls are held while most places are taken, so that all get one in turn. */
  static final int SHORT = 5;
  /** A container may have one part in so many of what is free. */
  private static final int SHARE = 16;
  /** Of the client's, only for calls that end something. */
  static final int RESERVE = 16;

  final int ofClient;
  final int ofContainers;
  private final Map<String, Integer> open = new HashMap<>();
  private int client;
  private int containers;

  /** @param heap the bytes that this process may have; calls take half of it at most */
  OpenCallLimit(long heap) {
    int all = (int) Math.max(FEWEST, Math.min(MOST, heap / 2 / BYTES));
    ofClient = all / 4;
    ofContainers = all - ofClient;
  }

  /**
   * Whether another call may be opened; if so, {@link #end} follows.
   *
   * @param container whose, null for the client
   * @param ends whether it is a call that ends something, for which the client has a reserve
   */
  synchronized boolean begin(String container, boolean ends) {
    if (container == null) {
      boolean may = client < ofClient - (ends ? 0 : RESERVE);
      client += may ? 1 : 0;
      return may;
    }
    int its = open.getOrDefault(container, 0);
    int free = ofContainers - containers;
    if (free <= 0 || its > 0 && its >= free / SHARE) {
      return false;
    }
    open.put(container, its + 1);
    containers++;
    return true;
  }

  synchronized void end(String container) {
    if (container == null) {
      client--;
      return;
    }
    containers--;
    open.computeIfPresent(container, (key, its) -> its == 1 ? null : its - 1);
  }

  /** Seconds for which a call that was opened now may be held. */
  synchronized int longest(String container) {
    return container != null && containers > ofContainers / 2 ? SHORT : Router.MAX_WAIT;
  }

  synchronized int count() {
    return client + containers;
  }
}
