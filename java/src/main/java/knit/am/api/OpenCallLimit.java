package knit.am.api;

import java.util.HashMap;
import java.util.Map;

/**
 * Bounds the calls that are open at a time: those that wait, and those whose replies are being sent. The client has a part for
 * itself. Each container may have a share of what the others leave, so that only a container that opens too many is refused.
 */
final class OpenCallLimit {
  final int ofClient;
  final int ofContainers;
  private final Map<String, Integer> open = new HashMap<>();
  private int client;
  private int containers;

  /** @param heap the largest heap of this process, in bytes */
  OpenCallLimit(long heap) {
    int all = (int) Math.max(HttpLimits.FEWEST_OPEN_CALLS,
        Math.min(HttpLimits.MOST_OPEN_CALLS, heap / 2 / HttpLimits.OPEN_CALL_BYTES));
    ofClient = all / HttpLimits.CLIENT_PART;
    ofContainers = all - ofClient;
  }

  /**
   * Open a call. If it may be opened, {@link #end} must follow.
   *
   * @param container the caller, null for the client
   * @param ends whether the call ends something, for which the client has a reserve
   */
  synchronized boolean begin(String container, boolean ends) {
    if (container == null) {
      boolean may = client < ofClient - (ends ? 0 : HttpLimits.OPEN_RESERVE);
      client += may ? 1 : 0;
      return may;
    }
    int its = open.getOrDefault(container, 0);
    int free = ofContainers - containers;
    if (free <= 0 || its > 0 && its >= free / HttpLimits.CONTAINER_SHARE) {
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

  /** Seconds for which a call that is opened now may wait. */
  synchronized int longest(String container) {
    return container != null && containers > ofContainers / 2 ? HttpLimits.SHORT_WAIT : HttpLimits.MAX_WAIT;
  }

  synchronized int count() {
    return client + containers;
  }
}
