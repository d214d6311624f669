package knit.am.core;

import knit.am.json.Json;

/** How running containers become ready: asked from here, or said by them, within a deadline. */
final class Readying {
  static final String PROBE = "probe ";
  static final String UNREADY = "unready ";

  private final Context context;
  private final Instances instances;

  Readying(Context context, Instances instances) {
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
      context.alarms.set(PROBE + running.yarn(), at);
    }
    if (readiness.deadline > 0) {
      context.alarms.set(UNREADY + running.yarn(), Math.min(at, running.startedAt()) + readiness.deadline);
    }
  }

  void probe(String yarn) {
    Container container = context.roster.allocated(yarn);
    if (container != null && container.state() == ContainerState.RUNNING && !container.isReady()) {
      context.act(new Action.Probe(yarn, container.host(), context.roster.group(container).spec.readiness));
    }
  }

  void probed(Event.Probed event) {
    Container container = context.roster.allocated(event.yarn);
    if (container == null || container.state() != ContainerState.RUNNING || container.isReady()) {
      return;
    }
    if (event.good) {
      becameReady(container, event.at);
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
    context.roster.update(container.ready());
    context.log.add(at, "container-ready", container.id(), null);
    context.services.changed(context.roster.group(container), at);
  }

  void unready(String yarn, long at) {
    Container container = context.roster.allocated(yarn);
    if (container != null && container.state() == ContainerState.RUNNING && !container.isReady()) {
      long span = context.roster.group(container).spec.readiness.deadline;
      instances.dismiss(container.condemned(), "was not ready within " + Exits.seconds(span), at);
    }
  }
}
