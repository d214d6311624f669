package knit.am.core.application;

import java.util.HashMap;
import java.util.Map;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Exits;
import knit.am.core.model.Spec;
import knit.am.json.Json;

/** When a running container is ready: by probes from here, or by its own report. It has failed when its deadline passes first. */
final class ReadinessChecks {
  /** Milliseconds that a container has at least to report that it is ready, after the ApplicationMaster has restarted. */
  static final long LEAST_AFTER_RESTART = 15_000;

  private final Application application;
  private final Effects effects;
  private final ContainerRegistry registry;
  /** Of containers that are probed, by YARN's id. */
  private final Map<String, Probing> probing = new HashMap<>();

  private static final class Probing {
    /** A probe has no result yet. */
    boolean underWay;
    /** There was a result. */
    boolean probed;
    /** The deadline has passed; the next result decides. */
    boolean overdue;
  }

  ReadinessChecks(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
  }

  /** Begin to check a running container. */
  void watch(InstanceGroup group, Container running, long at) {
    Spec.Readiness readiness = group.spec.readiness;
    if (readiness == null || running.isReady()) {
      return;
    }
    if (readiness.probed()) {
      probing.put(running.yarn(), new Probing());
      effects.alarms.set(Alarms.Kind.PROBE, running.yarn(), at);
    }
    if (readiness.deadline > 0) {
      long deadline = Math.min(at, running.startedAt()) + readiness.deadline;
      boolean takenOver = at > running.startedAt() && !readiness.probed();
      effects.alarms.set(Alarms.Kind.READINESS_DEADLINE, running.yarn(),
          takenOver ? Math.max(deadline, at + LEAST_AFTER_RESTART) : deadline);
    }
  }

  void probe(String yarn) {
    Container container = registry.allocated(yarn);
    if (container != null && container.state() == ContainerState.RUNNING && !container.isReady()) {
      probing.get(yarn).underWay = true;
      effects.act(new Action.Probe(yarn, container.host(), registry.group(container).spec.readiness));
    }
  }

  void probed(Event.Probed event) {
    Container container = registry.allocated(event.yarn);
    if (container == null || container.state() != ContainerState.RUNNING || container.isReady()) {
      return;
    }
    Probing state = probing.get(event.yarn);
    state.underWay = false;
    state.probed = true;
    if (event.good) {
      becameReady(container, event.at);
    } else if (state.overdue) {
      deadlinePassed(event.yarn, event.at);
    } else {
      effects.alarms.set(Alarms.Kind.PROBE, event.yarn,
          event.at + registry.group(container).spec.readiness.interval);
    }
  }

  /** The container reports that it is ready. */
  void ready(Call.Ready call) {
    Container container = registry.allocated(call.yarn);
    if (container == null) {
      effects.refuse(call, 409, "ended", call.yarn + " has ended");
      return;
    }
    if (container.state() == ContainerState.STARTING) {
      // Its report came before its NodeManager's reply to the start.
      application.starts.running(container, call.at);
      container = registry.allocated(call.yarn);
    }
    if (!container.isReady() && container.state() == ContainerState.RUNNING) {
      becameReady(container, call.at);
    }
    effects.answer(call, Json.map());
  }

  private void becameReady(Container container, long at) {
    ended(container.yarn());
    registry.update(container.ready());
    effects.timeline.add(at, "container-ready", container.id(), null);
    application.services.changed(registry.group(container), at);
  }

  /** Nothing is left to check. */
  void ended(String yarn) {
    effects.alarms.cancel(Alarms.Kind.READINESS_DEADLINE, yarn);
    effects.alarms.cancel(Alarms.Kind.PROBE, yarn);
    probing.remove(yarn);
  }

  /** A probed container fails by a result only, never because a probe could not be made in time. */
  void deadlinePassed(String yarn, long at) {
    Container container = registry.allocated(yarn);
    Probing state = probing.get(yarn);
    if (state != null && (state.underWay || !state.probed)) {
      state.overdue = true;
    } else if (container != null && container.state() == ContainerState.RUNNING && !container.isReady()) {
      long span = registry.group(container).spec.readiness.deadline;
      application.stops.stop(container.unready(), "was not ready within " + Exits.seconds(span), at);
    }
  }
}
