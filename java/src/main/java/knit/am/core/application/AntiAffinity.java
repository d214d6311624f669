package knit.am.core.application;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.message.Action;
import knit.am.core.message.Event;
import knit.am.core.model.ContainerState;

/**
 * No two instances of a service on one node. YARN's placement constraints are off by default, so each container is requested on
 * one free node that is chosen here. After {@link #ONE_NODE_TIME} it is requested on all free nodes.
 */
final class AntiAffinity {
  /** Milliseconds for which a container is requested on its node only. */
  static final long ONE_NODE_TIME = 5_000;
  /** Milliseconds for which the list of nodes is used. */
  private static final long NODES_AGE = 30_000;
  /** Milliseconds until the nodes are asked for again after a fault. */
  static final long ASK_AGAIN = 10_000;

  /** Where a container is requested. */
  static final class Choice {
    /** Null: anywhere. */
    final List<String> hosts;

    Choice(List<String> hosts) {
      this.hosts = hosts;
    }
  }

  static final Choice ANYWHERE = new Choice(null);

  private final Effects effects;
  private final ContainerRegistry registry;
  private final Application application;
  private final List<String> known = new ArrayList<>();
  /** Hosts that open requests have reserved, by request. */
  private final Map<Long, Choice> reserved = new HashMap<>();
  /** Services with a request that has outlived {@link #ONE_NODE_TIME}: their next ones are for all free nodes. */
  private final Set<String> anyNode = new HashSet<>();
  private long askedAt = Long.MIN_VALUE / 2;
  /** The nodes have been asked for, and there is no answer yet. */
  private boolean asking;
  /** The last answer was a fault. */
  private boolean failing;

  AntiAffinity(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
  }

  /** The answer to {@link Action.AskNodes}. After a fault the known nodes stay, and the nodes are asked for again later. */
  void nodes(Event.Nodes event) {
    asking = false;
    if (event.problem == null) {
      known.clear();
      known.addAll(new TreeSet<>(event.hosts));
    } else {
      askedAt = event.at;
      effects.alarms.set(Alarms.Kind.ASK_NODES, event.at + ASK_AGAIN);
      if (!failing) {
        effects.timeline.add(event.at, "nodes-unknown", null, "the cluster's nodes, which anti-affinity needs, cannot be read, "
            + "tried again each " + ASK_AGAIN / 1000 + " s: " + event.problem);
      }
    }
    failing = event.problem != null;
  }

  private void ask(long at) {
    if (!asking) {
      asking = true;
      askedAt = at;
      effects.act(new Action.AskNodes());
    }
  }

  /** Where to request the next container; null when the nodes are not known yet. Asks for the nodes when their list is old. */
  Choice choose(InstanceGroup group, long at) {
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
    if (!anyNode.contains(group.spec.name)) {
      for (Map.Entry<Long, Choice> other : reserved.entrySet()) {
        own.removeAll(other.getValue().hosts);
      }
    }
    if (!own.isEmpty() && !anyNode.contains(group.spec.name)) {
      return new Choice(Collections.singletonList(own.get(0)));
    }
    // More instances than free nodes: request on all nodes, in case one becomes free.
    return new Choice(free.isEmpty() ? new ArrayList<>(known) : free);
  }

  void requested(Container asked, Choice choice, long at) {
    if (choice.hosts != null) {
      reserved.put(asked.request(), choice);
      effects.alarms.set(Alarms.Kind.ONE_NODE_TIMEOUT, Long.toString(asked.request()), at + ONE_NODE_TIME);
    }
  }

  /** A request is granted, cancelled or refused. */
  void requestOver(Container container) {
    if (reserved.remove(container.request()) != null) {
      effects.alarms.cancel(Alarms.Kind.ONE_NODE_TIMEOUT, Long.toString(container.request()));
    }
  }

  /** Whether an instance of the service has a container on the host. */
  boolean isUsed(InstanceGroup group, String host) {
    for (Container container : group.all()) {
      if (host.equals(container.host()) && (container.state().begun() || container.state() == ContainerState.HELD)) {
        return true;
      }
    }
    return false;
  }

  /** Ask for the nodes again after a fault. */
  void askAgain(long at) {
    if (application.lifecycle.open()) {
      ask(at);
    }
  }

  /**
   * A request for one node has outlived {@link #ONE_NODE_TIME}.
   *
   * @return its container, null if there is none any more
   */
  Container oneNodeTimeout(long request) {
    reserved.remove(request);
    for (Container container : registry.requested()) {
      if (container.request() == request) {
        anyNode.add(container.service);
        return container;
      }
    }
    return null;
  }
}
