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
final class AntiAffinity {
  static final long PATIENCE = 5_000;
  private static final long NODES_AGE = 30_000;
  /** Milliseconds before nodes that could not be had are asked for again. */
  static final long ASK_AGAIN = 10_000;
  private static final String KEY = "spread ";
  private static final String ASK = KEY + "nodes";

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
  /** They have been asked for, and there is no answer yet: the ResourceManager may be away for long. */
  private boolean asking;
  /** The last answer was that they cannot be had. */
  private boolean failing;

  AntiAffinity(Context context) {
    this.context = context;
  }

  /** An answer. That there is none now passes: those that are known stay, and all are asked for again. */
  void nodes(Event.Nodes event) {
    asking = false;
    if (event.problem == null) {
      known.clear();
      known.addAll(new java.util.TreeSet<>(event.hosts));
    } else {
      askedAt = event.at;
      context.alarms.set(ASK, event.at + ASK_AGAIN);
      if (!failing) {
        context.log.add(event.at, "nodes-unknown", null, "the cluster's nodes, which anti-affinity needs, cannot be had; "
            + "asked for again each " + ASK_AGAIN / 1000 + " s: " + event.problem);
      }
    }
    failing = event.problem != null;
  }

  private void ask(long at) {
    if (!asking) {
      asking = true;
      askedAt = at;
      context.act(new Action.AskNodes());
    }
  }

  /** Where to ask for the next container; null when the nodes are not known yet: they are asked for then. */
  Choice choose(Group group, long at) {
    if (at - askedAt >= NODES_AGE) {
      ask(at);
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

  /** The container that has waited too long for its node, null when it has gone, or when the alarm was not for one. */
  Container overdue(String key, long at) {
    if (key.equals(ASK)) {
      if (context.ending.open()) {
        ask(at);
      }
      return null;
    }
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
