package knit.am.core.application;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.message.Action;
import knit.am.core.message.Event;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Exits;
import knit.am.core.model.Grant;

/** Takes over the containers that an earlier attempt of the ApplicationMaster left. */
final class Takeover {
  /** Milliseconds for YARN to report the end of a container that the ResourceManager did not name. */
  static final long LOST_TIMEOUT = 10_000;

  private final Application application;
  private final Effects effects;
  private final ContainerRegistry registry;

  Takeover(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
  }

  /**
   * The ResourceManager names containers of earlier attempts: known ones go on, others are released.
   *
   * @param all whether these are all that run, so that the others are lost
   */
  void recovered(List<Grant> previous, boolean all, long at) {
    Map<Long, Container> requested = new HashMap<>();
    registry.requested().forEach(container -> requested.put(container.request(), container));
    Set<String> there = new HashSet<>();
    for (Grant grant : previous) {
      there.add(grant.yarn);
      Container known = registry.allocated(grant.yarn);
      if (known == null && requested.containsKey(grant.request)) {
        // Allocated, and perhaps started, after the last record of the journal.
        registry.takeRequested(grant.request);
        known = registry.update(requested.get(grant.request).starting(grant));
      }
      if (known == null || known.state() == ContainerState.HELD) {
        effects.act(new Action.Release(grant.yarn));
        effects.timeline.add(at, "container-released", null, grant.yarn + " of an earlier attempt");
        there.remove(grant.yarn);
      } else {
        adopt(known, at);
      }
    }
    if (all) {
      missing(there, at);
    }
  }

  private void adopt(Container container, long at) {
    InstanceGroup group = registry.group(container);
    effects.timeline.add(at, "container-kept", container.id(), container.yarn() + " on " + container.node());
    if (!application.lifecycle.open() || container.state() == ContainerState.STOPPING) {
      application.stops.stop(container, container.diagnostics(), at);
    } else if (container.state() == ContainerState.STARTING) {
      application.starts.launch(group, container, at); // a NodeManager that has it already accepts the start
    } else {
      application.readiness.watch(group, container, at);
    }
  }

  private void missing(Set<String> there, long at) {
    List<Container> requested = new ArrayList<>(registry.requested());
    for (Container container : new ArrayList<>(registry.allocated())) {
      if (container.state() == ContainerState.HELD && application.lifecycle.open()) {
        registry.forget(container); // YARN takes back a container that was not started
        application.starts.request(registry.group(container), container, at);
      } else if (!there.contains(container.yarn())) {
        effects.alarms.set(Alarms.Kind.LOST_CONTAINER, container.yarn(), at + LOST_TIMEOUT);
      }
    }
    for (Container container : requested) {
      if (application.lifecycle.open()) {
        application.starts.requestAgain(container, at);
      }
    }
    for (InstanceGroup group : registry.groups()) {
      for (Container container : group.copy()) {
        resume(group, container, at);
      }
    }
  }

  private void resume(InstanceGroup group, Container container, long at) {
    if (!application.lifecycle.open()) {
      if (container.live() && !container.state().begun()) {
        application.stops.stop(container, "ended with the application", at);
      }
    } else if (container.state() == ContainerState.WAITING && group.unblocked) {
      // The clock of the earlier attempt may have been ahead.
      long longest = Math.max(group.spec.restart.longestDelay, ContainerStarts.LONGEST_REFUSAL_PAUSE);
      application.starts.requestAt(container, Math.min(Math.max(at, container.notBefore()), at + longest));
    }
  }

  /** A container has ended. */
  void ended(String yarn) {
    effects.alarms.cancel(Alarms.Kind.LOST_CONTAINER, yarn);
  }

  /** YARN has not reported how a container ended. */
  void lost(String yarn, long at) {
    application.ends.completed(new Event.Completed(at, yarn, Exits.LOST, "lost while no ApplicationMaster was there"));
  }
}
