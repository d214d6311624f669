package knit.am.core.application;

import java.util.List;
import java.util.Map;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.message.Call;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;
import knit.am.json.Fields;
import knit.am.json.Json;

/** Services: dependencies between them, gangs, the number of their instances. */
final class Services {

  private final Application application;
  private final Effects effects;
  private final ContainerRegistry registry;

  Services(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
  }

  /** The first attempt of the ApplicationMaster: add all instances, and request those of services without dependencies. */
  void start(long at) {
    for (InstanceGroup group : registry.groups()) {
      for (int rank = 0; rank < group.spec.instances; rank++) {
        registry.update(group.begin(rank));
        registry.recordHistory(group, rank);
      }
      record(group);
    }
    unblockAll(at);
  }

  private void unblockAll(long at) {
    for (InstanceGroup group : registry.groups()) {
      unblock(group, at);
    }
  }

  /** Request the containers of a service whose dependencies are met. */
  private void unblock(InstanceGroup group, long at) {
    if (group.unblocked || !application.lifecycle.open()) {
      return;
    }
    for (Map.Entry<String, Spec.Condition> dependency : group.spec.depends.entrySet()) {
      if (!registry.group(dependency.getKey()).meets(dependency.getValue())) {
        return;
      }
    }
    group.unblocked = true;
    if (!group.spec.depends.isEmpty()) {
      effects.timeline.add(at, "service-released", null, group.spec.name);
    }
    if (!group.gangComplete) {
      effects.alarms.set(Alarms.Kind.GANG_TIMEOUT, group.spec.name, at + group.spec.gang);
    }
    record(group);
    for (Container container : group.copy()) {
      if (container.state() == ContainerState.WAITING) {
        application.starts.request(group, container, at);
      }
    }
  }

  /** Containers of a service have changed: its gang may be complete, and services that depend on it may start. */
  void changed(InstanceGroup group, long at) {
    checkGang(group, at);
    for (InstanceGroup other : registry.groups()) {
      if (other.spec.depends.containsKey(group.spec.name)) {
        unblock(other, at);
      }
    }
  }

  /** An instance of a service that is not required has failed: services that still depend on it can never start. */
  void failed(InstanceGroup group, Container failed, long at) {
    for (InstanceGroup other : registry.groups()) {
      if (!other.unblocked && other.spec.depends.containsKey(group.spec.name)) {
        application.lifecycle.stop(Outcome.FAILED,
            "service " + other.spec.name + " cannot start, a service that it depends on has failed: " + failed.failure(), at);
      }
    }
  }

  private void checkGang(InstanceGroup group, long at) {
    boolean waits = !group.gangComplete && group.unblocked && application.lifecycle.open();
    if (!waits || group.counts().members == 0 || group.counts().held < group.counts().members) {
      return;
    }
    group.gangComplete = true;
    effects.alarms.cancel(Alarms.Kind.GANG_TIMEOUT, group.spec.name);
    effects.timeline.add(at, "gang-complete", null, group.spec.name + ": " + group.counts().members + " containers");
    record(group);
    for (Container container : group.copy()) {
      if (container.state() == ContainerState.HELD) {
        application.starts.launch(group, container.starting(), at);
      }
    }
  }

  void scale(Call.Scale call) {
    InstanceGroup group = registry.group(call.service);
    if (group == null) {
      effects.refuse(call, 404, "unknown-service", "no service \"" + call.service + "\"; there are: "
          + String.join(", ", effects.spec.services.keySet()));
      return;
    }
    int now = group.instances();
    long wanted = call.relative ? (long) now + call.instances : call.instances;
    if (wanted < 0 || wanted > Spec.MAX_INSTANCES) {
      effects.refuse(call, 400, "bad-request", call.service + " has " + now + " instances: it cannot have " + wanted);
      return;
    }
    effects.timeline.add(call.at, "scaled", null, call.service + " from " + now + " to " + wanted);
    effects.answer(call, Json.map("instances", (int) wanted));
    for (int rank : group.free((int) wanted - now)) {
      if (group.at(rank) == null) {
        application.starts.begin(group, rank, call.at);
      } else {
        registry.update(group.at(rank).wantedAgain()); // a rank never has two live containers
      }
    }
    List<Container> surplus = group.surplus(now - (int) wanted);
    // All are marked before the first one ends: else the end of the last one may look like the application's success.
    for (Container container : surplus) {
      registry.update(container.leaving());
    }
    for (Container container : surplus) {
      if (container.state() == ContainerState.STOPPING) {
        registry.update(container.leaving());
      } else if (container.live()) {
        application.stops.stop(container.leaving(), "scaled away", call.at);
      } else {
        registry.remove(container.leaving());
      }
    }
    changed(group, call.at);
  }

  /** The containers of a gang were not allocated in time. */
  void gangTimeout(String service, long at) {
    InstanceGroup group = registry.group(service);
    String why = "service " + group.spec.name + ": only " + group.counts().held + " of " + group.counts().members
        + " containers were given within " + group.spec.gang / 1000 + " s, and it starts with all or none";
    application.lifecycle.stop(Outcome.FAILED, why, at);
  }

  /** After a restart of the ApplicationMaster: begin again what the state is waiting for. */
  void resume(long at) {
    for (InstanceGroup group : registry.groups()) {
      if (group.unblocked && !group.gangComplete) {
        effects.alarms.set(Alarms.Kind.GANG_TIMEOUT, group.spec.name, at + group.spec.gang);
      }
    }
    unblockAll(at);
  }

  // Journal

  /** Record the fields that are not in the containers. */
  void record(InstanceGroup group) {
    effects.changes.put(RecordKind.SERVICE, group.spec.name, recordOf(group));
  }

  private static Map<String, Object> recordOf(InstanceGroup group) {
    return Json.map("released", group.unblocked, "ganged", group.gangComplete, "killed", group.killed, "restarts",
        group.restarts);
  }

  void dump(Records records) {
    registry.groups().forEach(group -> records.put(RecordKind.SERVICE, group.spec.name, recordOf(group)));
  }

  void restore(String service, Fields fields) {
    InstanceGroup group = registry.group(service);
    group.unblocked = fields.flag("released");
    group.gangComplete = fields.flag("ganged");
    group.killed = fields.integer("killed");
    group.restarts = fields.integer("restarts");
  }
}
