package knit.am.core;

import java.util.ArrayDeque;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/**
 * Nodes on which containers keep failing are avoided for a while. Never more than a third of the cluster: then it is the
 * program that fails, not its nodes.
 */
final class NodeHealth {
  static final long MEMORY = 600_000;
  static final long REST = 600_000;
  private static final String KEY = "allow ";

  private final Context context;
  private final Map<String, Deque<Long>> failures = new HashMap<>();
  private final Set<String> avoided = new HashSet<>();
  private int clusterNodes;

  NodeHealth(Context context) {
    this.context = context;
  }

  void clusterHas(int nodes) {
    clusterNodes = nodes;
  }

  Set<String> avoided() {
    return Collections.unmodifiableSet(avoided);
  }

  void failed(String host, long at) {
    int most = context.spec.nodeFailures;
    if (most == 0 || host == null || avoided.contains(host)) {
      return;
    }
    Deque<Long> times = failures.computeIfAbsent(host, key -> new ArrayDeque<>());
    times.addLast(at);
    while (times.getFirst() < at - MEMORY) {
      times.removeFirst();
    }
    // With two nodes one of them may be avoided.
    if (times.size() < most || (avoided.size() + 1) * 3 > clusterNodes + 1) {
      return;
    }
    failures.remove(host);
    avoided.add(host);
    context.act(new Action.Avoid(host, true));
    context.alarms.set(KEY + host, at + REST);
    context.log.add(at, "node-avoided", null, host + ": " + most + " containers failed there within ten minutes");
  }

  /** An alarm has gone off; whether it was one of ours. */
  boolean alarm(String key, long at) {
    if (!key.startsWith(KEY)) {
      return false;
    }
    String host = key.substring(KEY.length());
    avoided.remove(host);
    context.act(new Action.Avoid(host, false));
    context.log.add(at, "node-allowed", null, host);
    return true;
  }
}
