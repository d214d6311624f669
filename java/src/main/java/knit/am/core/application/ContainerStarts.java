package knit.am.core.application;

import java.util.Collections;
import java.util.Set;
import java.util.TreeSet;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.message.Action;
import knit.am.core.message.Event;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Exits;
import knit.am.core.model.Grant;

/** A container until it runs: requested from the ResourceManager, allocated, started by its NodeManager. */
final class ContainerStarts {
  /** Refusals in a row, by the ResourceManager or a NodeManager, after which an instance has failed. */
  static final int MAX_REFUSALS = 10;
  /** Milliseconds before a refused request is repeated; doubled each time. */
  static final long FIRST_REFUSAL_PAUSE = 1_000;
  static final long LONGEST_REFUSAL_PAUSE = 60_000;

  private final Application application;
  private final Effects effects;
  private final ContainerRegistry registry;
  private long nextRequest;

  ContainerStarts(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
    // An attempt never repeats a number of the one before: the requests of that one may still be granted.
    nextRequest = (effects.identity.attempt - 1) * 1_000_000_000L + 1;
  }

  // Requested

  /** Add the next attempt of a rank. It is requested at once if its service may start. */
  void begin(InstanceGroup group, int rank, long at) {
    Container container = registry.update(group.begin(rank));
    registry.recordHistory(group, rank);
    if (group.unblocked) {
      request(group, container, at);
    }
  }

  /** Add the next attempt of a rank and request it at a later time. */
  void beginDelayed(InstanceGroup group, int rank, long until) {
    Container container = registry.update(group.begin(rank).delayed(until));
    registry.recordHistory(group, rank);
    requestAt(container, until);
  }

  void requestAt(Container container, long at) {
    effects.alarms.set(Alarms.Kind.REQUEST, container.key(), at);
  }

  void cancelDelayed(Container container) {
    effects.alarms.cancel(Alarms.Kind.REQUEST, container.key());
  }

  void request(InstanceGroup group, Container container, long at) {
    AntiAffinity.Choice choice = group.spec.spread ? application.antiAffinity.choose(group, at) : AntiAffinity.ANYWHERE;
    if (choice == null) {
      registry.update(container.waiting()); // until the nodes are known
      return;
    }
    Container requested = registry.update(container.requested(nextRequest++, at));
    application.antiAffinity.requested(requested, choice, at);
    effects.act(new Action.Request(requested.request(), group.spec, choice.hosts));
    effects.timeline.add(at, "container-requested", requested.id(), null);
  }

  /** Cancel a request and make a new one. */
  void requestAgain(Container requested, long at) {
    registry.takeRequested(requested.request());
    effects.act(new Action.Cancel(requested.request()));
    request(registry.group(requested), requested, at);
  }

  /** The cluster's nodes are known, or cannot be read: request the containers that wait for them. */
  void nodes(Event.Nodes event) {
    application.antiAffinity.nodes(event);
    for (InstanceGroup group : registry.groups()) {
      if (group.spec.spread && group.unblocked && application.lifecycle.open()) {
        for (Container container : group.copy()) {
          if (container.state() == ContainerState.WAITING && container.notBefore() <= event.at) {
            request(group, container, event.at);
          }
        }
      }
    }
  }

  /**
   * The ResourceManager refuses requests. Each is repeated after growing pauses, because queues and limits may change; then the
   * instance has failed.
   */
  void refused(Event.RequestsRefused event) {
    String why = "YARN refuses its request: " + Exits.clip(event.message);
    Set<String> services = new TreeSet<>();
    for (long request : event.requests) {
      Container container = registry.takeRequested(request);
      if (container == null) {
        continue;
      }
      services.add(container.service);
      InstanceGroup group = registry.group(container);
      InstanceGroup.History history = group.history(container.instance);
      application.antiAffinity.requestOver(container);
      if (++history.refusals >= MAX_REFUSALS) {
        String often = why + " (" + MAX_REFUSALS + " times)";
        application.ends.fail(group,
            container.ended(ContainerState.FAILED, event.at, null, often, Collections.emptyList()), false);
        continue;
      }
      registry.recordHistory(group, container.instance);
      long again = event.at + refusalPause(history.refusals);
      requestAt(registry.update(container.refused(why, again)), again);
    }
    if (!services.isEmpty()) {
      effects.timeline.add(event.at, "request-refused", null, String.join(", ", services) + ": " + event.message);
    }
  }

  static long refusalPause(int refusals) {
    return Math.min(LONGEST_REFUSAL_PAUSE, FIRST_REFUSAL_PAUSE << (refusals - 1));
  }

  // Allocated

  void granted(Grant grant, long at) {
    Container container = registry.takeRequested(grant.request);
    if (container == null) {
      effects.act(new Action.Release(grant.yarn));
      return;
    }
    InstanceGroup group = registry.group(container);
    application.antiAffinity.requestOver(container);
    if (group.spec.spread && application.antiAffinity.isUsed(group, grant.host())) {
      effects.act(new Action.Release(grant.yarn));
      request(group, container, at);
      return;
    }
    if (group.gangComplete) {
      launch(group, container.starting(grant), at);
    } else {
      Container held = registry.update(container.held(grant));
      effects.timeline.add(at, "container-held", held.id(), grant.yarn + " on " + grant.node);
      application.services.changed(group, at);
    }
  }

  // Started

  void launch(InstanceGroup group, Container container, long at) {
    Container starting = registry.update(container);
    effects.act(starting.launch(group.spec, group.instances()));
    effects.timeline.add(at, "container-allocated", starting.id(), starting.yarn() + " on " + starting.node());
  }

  /** A NodeManager has accepted a container. */
  void launched(String yarn, long at) {
    Container container = registry.allocated(yarn);
    if (container == null) {
      return;
    }
    if (container.state() == ContainerState.STOPPING) {
      // The NodeManager may have received the stop before the start.
      effects.act(new Action.Stop(yarn, container.node()));
    } else if (container.state() == ContainerState.STARTING) {
      running(container, at);
    }
  }

  void running(Container container, long at) {
    InstanceGroup group = registry.group(container);
    if (group.history(container.instance).refusals > 0) {
      group.history(container.instance).refusals = 0;
      registry.recordHistory(group, container.instance);
    }
    Container running = registry.update(container.running(at, group.spec.readiness == null));
    effects.timeline.add(at, "container-started", running.id(), null);
    application.readiness.watch(group, running, at);
    application.services.changed(group, at);
  }

  // Alarms

  /** The pause before a request is over. */
  void pauseOver(String key, long at) {
    Container container = registry.find(key.substring(0, key.lastIndexOf('/')));
    if (container != null && container.state() == ContainerState.WAITING && container.key().equals(key)) {
      request(registry.group(container), container, at);
    }
  }

  /** A container has waited too long for one node. */
  void oneNodeTimeout(long request, long at) {
    Container container = application.antiAffinity.oneNodeTimeout(request);
    if (container != null) {
      requestAgain(container, at);
    }
  }
}
