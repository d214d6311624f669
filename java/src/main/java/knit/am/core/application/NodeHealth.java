package knit.am.core.application;

import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.message.Action;

/**
 * Nodes on which containers fail repeatedly are avoided for a time. At most a third of the cluster is: with more, the cause is the
 * program and not the nodes.
 */
final class NodeHealth {
  /** Milliseconds for which a failure counts. */
  static final long FAILURE_WINDOW = 600_000;
  /** Milliseconds for which a node is avoided. */
  static final long AVOID_TIME = 600_000;

  private final Effects effects;
  private final Map<String, Deque<Long>> failures = new HashMap<>();
  private final Set<String> avoided = new HashSet<>();
  private int clusterNodes;

  NodeHealth(Effects effects) {
    this.effects = effects;
  }

  void clusterSize(int nodes) {
    clusterNodes = nodes;
  }

  Set<String> avoided() {
    return Collections.unmodifiableSet(avoided);
  }

  void failed(String host, long at) {
    int most = effects.spec.nodeFailures;
    if (most == 0 || host == null || avoided.contains(host)) {
      return;
    }
    Deque<Long> times = failures.computeIfAbsent(host, key -> new ArrayDeque<>());
    times.addLast(at);
    while (times.getFirst() < at - FAILURE_WINDOW) {
      times.removeFirst();
    }
    // With two nodes one of them may be avoided.
    if (times.size() < most || (avoided.size() + 1) * 3 > clusterNodes + 1) {
      return;
    }
    failures.remove(host);
    avoided.add(host);
    effects.act(new Action.Avoid(host, true));
    effects.alarms.set(Alarms.Kind.ALLOW_NODE, host, at + AVOID_TIME);
    effects.timeline.add(at, "node-avoided", null, host + ": " + most + " containers failed there within ten minutes");
  }

  /** A node is no longer avoided. */
  void allow(String host, long at) {
    avoided.remove(host);
    effects.act(new Action.Avoid(host, false));
    effects.timeline.add(at, "node-allowed", null, host);
  }
}
