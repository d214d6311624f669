package knit.am.core;

import java.util.HashMap;
import java.util.Map;
import knit.am.json.Json;

/** How running containers become ready: asked from here, or said by them, within a deadline. */
final class ReadinessChecks {
  static final String PROBE = "probe ";
  static final String UNREADY = "unready ";

  /** Milliseconds that a container has at least to say that it is ready, after the ApplicationMaster has restarted. */
  static final long RETURN = 15_000;

  private final Context context;
  private final Instances instances;
  /** By YARN's id, of containers that are asked. */
  private final Map<String, Looks> looks = new HashMap<>();

  /** How the looks at a container that is not ready yet stand. */
  private static final class Looks {
    boolean underWay;
    boolean any;
    /** Its time is over; the answer to a look decides. */
    boolean overdue;
  }

  ReadinessChecks(Context context, Instances instances) {
    this.context = context;
    this.instances = instances;
  }

  /** See to it that a running container becomes ready. */
  void watch(Group group, Container running, long at) {
    Spec.Readiness readiness = group.spec.readiness;
    if (readiness == null || running.isReady()) {
      return;
    }
    if (readiness.asked()) {
      looks.put(running.yarn(), new Looks());
      context.alarms.set(PROBE + running.yarn(), at);
    }
    if (readiness.deadline > 0) {
      long deadline = Math.min(at, running.startedAt()) + readiness.deadline;
      boolean takenOver = at > running.startedAt() && !readiness.asked();
      context.alarms.set(UNREADY + running.yarn(), takenOver ? Math.max(deadline, at + RETURN) : deadline);
    }
  }

  void probe(String yarn) {
    Container container = context.roster.allocated(yarn);
    if (container != null && container.state() == ContainerState.RUNNING && !container.isReady()) {
      looks.get(yarn).underWay = true;
      context.act(new Action.Probe(yarn, container.host(), context.roster.group(container).spec.readiness));
    }
  }

  void probed(Event.Probed event) {
    Container container = context.roster.allocated(event.yarn);
    if (container == null || container.state() != ContainerState.RUNNING || container.isReady()) {
      return;
    }
    Looks its = looks.get(event.yarn);
    its.underWay = false;
    its.any = true;
    if (event.good) {
      becameReady(container, event.at);
    } else if (its.overdue) {
      unready(event.yarn, event.at);
    } else {
      context.alarms.set(PROBE + event.yarn, event.at + context.roster.group(container).spec.readiness.interval);
    }
  }

  /** The container says that it is ready. */
  void ready(Event.Ready event) {
    Container container = context.roster.allocated(event.yarn);
    if (container == null) {
      context.refuse(event, 409, "ended", event.yarn + " has ended");
      return;
    }
    if (container.state() == ContainerState.STARTING) {
      // It was quicker than the NodeManager's answer to us.
      instances.began(container, event.at);
      container = context.roster.allocated(event.yarn);
    }
    if (!container.isReady() && container.state() == ContainerState.RUNNING) {
      becameReady(container, event.at);
    }
    context.answer(event, Json.map());
  }

  private void becameReady(Container container, long at) {
    context.alarms.cancel(UNREADY + container.yarn());
    context.alarms.cancel(PROBE + container.yarn());
    looks.remove(container.yarn());
    context.roster.update(container.ready());
    context.log.add(at, "container-ready", container.id(), null);
    context.services.changed(context.roster.group(container), at);
  }

  /** A container has ended. */
  void ended(String yarn) {
    looks.remove(yarn);
  }

  /** Its time is over. One that is asked is judged by an answer, never because it could not be asked yet. */
  void unready(String yarn, long at) {
    Container container = context.roster.allocated(yarn);
    Looks its = looks.get(yarn);
    if (its != null && (its.underWay || !its.any)) {
      its.overdue = true;
    } else if (container != null && container.state() == ContainerState.RUNNING && !container.isReady()) {
      long span = context.roster.group(container).spec.readiness.deadline;
      instances.dismiss(container.condemned(), "was not ready within " + Exits.seconds(span), at);
    }
  }
}
