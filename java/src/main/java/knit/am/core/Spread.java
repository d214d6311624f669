package knit.am.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Anti-affinity: no two instances of a service on one node. YARN's own placement constraints are off by default, so each
 * container is asked for on a node of its own choice here; one that is full is given up for all free ones after a while.
 */
final class Spread {
  static final long PATIENCE = 5_000;
  private static final long NODES_AGE = 30_000;
  private static final String KEY = "spread ";

  /** Where a container is asked for. */
  static final class Choice {
    /** Null: anywhere. */
    final List<String> hosts;

    Choice(List<String> hosts) {
      this.hosts = hosts;
    }
  }

  static final Choice ANYWHERE = new Choice(null);

  private final Context context;
  private final List<String> known = new ArrayList<>();
  /** Hosts that requests under way have to themselves, by request. */
  private final Map<Long, Choice> reserved = new HashMap<>();
  private final Set<String> impatient = new HashSet<>();
  private long askedAt = Long.MIN_VALUE / 2;

  Spread(Context context) {
    this.context = context;
  }

  void nodes(List<String> hosts) {
    known.clear();
    known.addAll(new java.util.TreeSet<>(hosts));
  }

  /** Where to ask for the next container; null when the nodes are not known yet: they are asked for then. */
  Choice choose(Group group, long at) {
    if (at - askedAt >= NODES_AGE) {
      askedAt = at;
      context.act(new Action.AskNodes());
    }
    if (known.isEmpty()) {
      return null;
    }
    List<String> free = new ArrayList<>(known);
    for (Container container : group.all()) {
      if (container.state().begun() || container.state() == ContainerState.HELD) {
        free.remove(container.host());
      }
    }
    List<String> own = new ArrayList<>(free);
    if (!impatient.contains(group.spec.name)) {
      for (Map.Entry<Long, Choice> other : reserved.entrySet()) {
        own.removeAll(other.getValue().hosts);
      }
    }
    if (!own.isEmpty() && !impatient.contains(group.spec.name)) {
      return new Choice(Collections.singletonList(own.get(0)));
    }
    // More instances than free nodes: wait for any of them, and for nodes that are not there yet.
    return new Choice(free.isEmpty() ? new ArrayList<>(known) : free);
  }

  void chosen(Container asked, Choice choice, long at) {
    if (choice.hosts != null) {
      reserved.put(asked.request(), choice);
      context.alarms.set(KEY + asked.request(), at + PATIENCE);
    }
  }

  /** A request is over. */
  void given(Container container) {
    if (reserved.remove(container.request()) != null) {
      context.alarms.cancel(KEY + container.request());
    }
  }

  boolean taken(Group group, String host) {
    for (Container container : group.all()) {
      if (host.equals(container.host()) && (container.state().begun() || container.state() == ContainerState.HELD)) {
        return true;
      }
    }
    return false;
  }

  /** Whether an alarm is one of ours. */
  boolean alarm(String key) {
    return key.startsWith(KEY);
  }

  /** The container that has waited too long for its node, null when it has gone. */
  Container overdue(String key) {
    long request = Long.parseLong(key.substring(KEY.length()));
    reserved.remove(request);
    for (Container container : context.roster.waiting()) {
      if (container.request() == request) {
        impatient.add(container.service);
        return container;
      }
    }
    return null;
  }
}
