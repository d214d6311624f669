package knit.am.core.application;

import java.util.Collections;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.ContainerState;
import knit.am.json.Json;

/** Stops containers: SIGTERM, the grace period of their service, then the NodeManager, then the ResourceManager. */
final class ContainerStops {
  /** Milliseconds for a NodeManager to end a container. */
  static final long STOP_TIMEOUT = 5_000;

  private final Application application;
  private final Effects effects;
  private final ContainerRegistry registry;

  ContainerStops(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
  }

  /** End a live container: cancel its request, or stop it in its grace period. */
  Container stop(Container container, String why, long at) {
    InstanceGroup group = registry.group(container);
    if (!container.state().begun()) {
      if (container.state() == ContainerState.REQUESTED) {
        effects.act(new Action.Cancel(container.request()));
      } else if (container.state() == ContainerState.HELD) {
        effects.act(new Action.Release(container.yarn()));
      } else {
        application.starts.cancelDelayed(container);
      }
      Container ended = container.ended(ContainerState.KILLED, at, null, why, Collections.emptyList());
      application.ends.finish(ended);
      return ended;
    }
    application.lifecycle.awaitStop(container.yarn());
    if (group.spec.grace > 0 && container.state() == ContainerState.RUNNING) {
      effects.act(new Action.Signal(container.yarn(), container.node()));
      effects.alarms.set(Alarms.Kind.GRACE_OVER, container.yarn(), at + group.spec.grace);
    } else {
      stopNow(container, at);
    }
    return registry.update(container.stopping(why));
  }

  private void stopNow(Container container, long at) {
    effects.act(new Action.Stop(container.yarn(), container.node()));
    effects.alarms.set(Alarms.Kind.STOP_TIMEOUT, container.yarn(), at + STOP_TIMEOUT);
  }

  /** A container has ended: nothing is left to stop. */
  void ended(String yarn) {
    effects.alarms.cancel(Alarms.Kind.GRACE_OVER, yarn);
    effects.alarms.cancel(Alarms.Kind.STOP_TIMEOUT, yarn);
  }

  void kill(Call.Kill call) {
    Container found = registry.find(call.container);
    if (found == null) {
      effects.refuse(call, 404, "unknown-container", "no container \"" + call.container + "\"");
      return;
    }
    if (!found.live()) {
      effects.refuse(call, 409, "ended", found.id() + " has ended already: " + found.state());
      return;
    }
    Container container = found;
    if (found.state() != ContainerState.STOPPING) {
      effects.timeline.add(call.at, "container-kill", found.id(), null);
      container = stop(registry.update(found.leaving()), "killed on request", call.at);
    } else if (found.isWantedAgain()) {
      container = registry.update(found.leaving());
    }
    effects.answer(call, Json.map("id", container.id(), "state", container.state().name()));
  }

  /** YARN announces preemption repeatedly. A container whose service has a grace period gets one SIGTERM. */
  void preempting(Event.Preempting event) {
    for (String yarn : event.yarns) {
      Container container = registry.allocated(yarn);
      if (container == null || container.isPreempting() || container.state() == ContainerState.STOPPING) {
        continue;
      }
      Container preempting = registry.update(container.preempting());
      effects.timeline.add(event.at, "container-preempting", preempting.id(), yarn + " on " + preempting.node());
      if (preempting.state() == ContainerState.RUNNING && registry.group(preempting).spec.grace > 0) {
        effects.act(new Action.Signal(yarn, preempting.node()));
      }
    }
  }

  void graceOver(String yarn, long at) {
    stopNow(registry.allocated(yarn), at);
  }

  /** The NodeManager has not ended a container: the ResourceManager ends one that is released. */
  void stopTimeout(String yarn) {
    effects.act(new Action.Release(yarn));
    application.lifecycle.stopped(yarn);
  }
}
