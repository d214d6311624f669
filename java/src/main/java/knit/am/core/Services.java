package knit.am.core;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import knit.am.json.Json;

/** Services as a whole: when they may start, whether they start together, how many instances they have. */
final class Services {
  private static final String GANG = "gang ";

  private final Context context;

  Services(Context context) {
    this.context = context;
  }

  /** The beginning: an instance for each rank; those whose service need not wait are asked for. */
  void start(long at) {
    for (Group group : context.roster.groups()) {
      for (int rank = 0; rank < group.spec.instances; rank++) {
        context.roster.update(group.begin(rank));
        context.instances.remember(group, rank);
      }
      note(group);
    }
    releaseAll(at);
  }

  private void releaseAll(long at) {
    for (Group group : context.roster.groups()) {
      release(group, at);
    }
  }

  /** Let a service start if what it depends on is there. */
  private void release(Group group, long at) {
    if (group.released || !context.ending.open()) {
      return;
    }
    for (Map.Entry<String, Spec.Condition> wanted : group.spec.depends.entrySet()) {
      if (!context.roster.group(wanted.getKey()).meets(wanted.getValue())) {
        return;
      }
    }
    group.released = true;
    if (!group.spec.depends.isEmpty()) {
      context.log.add(at, "service-released", null, group.spec.name);
    }
    if (!group.ganged) {
      context.alarms.set(GANG + group.spec.name, at + group.spec.gang);
    }
    note(group);
    for (Container container : snapshot(group)) {
      if (container.state() == ContainerState.WAITING) {
        context.instances.request(group, container, at);
      }
    }
  }

  private static List<Container> snapshot(Group group) {
    List<Container> all = new ArrayList<>();
    group.all().forEach(all::add);
    return all;
  }

  /** Containers of a service have changed: who waits for it may go on, and a gang may be complete. */
  void changed(Group group, long at) {
    checkGang(group, at);
    for (Group other : context.roster.groups()) {
      if (other.spec.depends.containsKey(group.spec.name)) {
        release(other, at);
      }
    }
  }

  /** An instance has failed for good although that is no failure of the application: who waits for it waits in vain. */
  void failed(Group group, Container failed, long at) {
    for (Group other : context.roster.groups()) {
      if (!other.released && other.spec.depends.containsKey(group.spec.name)) {
        context.ending.stop(Outcome.FAILED, "service " + other.spec.name + " waits in vain: " + Exits.oneLine(failed), at);
      }
    }
  }

  private void checkGang(Group group, long at) {
    boolean waits = !group.ganged && group.released && context.ending.open();
    if (!waits || group.tally().members == 0 || group.tally().held < group.tally().members) {
      return;
    }
    group.ganged = true;
    context.alarms.cancel(GANG + group.spec.name);
    context.log.add(at, "gang-complete", null, group.spec.name + ": " + group.tally().members + " containers");
    note(group);
    for (Container container : snapshot(group)) {
      if (container.state() == ContainerState.HELD) {
        context.instances.launch(group, container.released(), at);
      }
    }
  }

  void scale(Event.Scale event) {
    Group group = context.roster.group(event.service);
    if (group == null) {
      context.refuse(event, 404, "unknown-service", "no service \"" + event.service + "\"; there are: "
          + String.join(", ", context.spec.services.keySet()));
      return;
    }
    int now = group.instances();
    long wanted = event.relative ? (long) now + event.instances : event.instances;
    if (wanted < 0 || wanted > Spec.MAX_INSTANCES) {
      context.refuse(event, 400, "bad-request", event.service + " has " + now + " instances: it cannot have " + wanted);
      return;
    }
    context.log.add(event.at, "scaled", null, event.service + " from " + now + " to " + wanted);
    context.answer(event, Json.map("instances", (int) wanted));
    for (int rank : group.free((int) wanted - now)) {
      if (group.at(rank) == null) {
        context.instances.begin(group, rank, event.at);
      } else {
        context.roster.update(group.at(rank).wantedAgain()); // never two of one rank at once
      }
    }
    List<Container> going = group.surplus(now - (int) wanted);
    // All of them leave before the first ends: the last one's end must not look like the application's success.
    for (Container container : going) {
      context.roster.update(container.leaving());
    }
    for (Container container : going) {
      if (container.state() == ContainerState.STOPPING) {
        context.roster.update(container.leaving());
      } else if (container.live()) {
        context.instances.dismiss(container.leaving(), "scaled away", event.at);
      } else {
        context.roster.remove(container.leaving());
      }
    }
    changed(group, event.at);
  }

  /** An alarm has gone off; whether it was one of ours. */
  boolean alarm(String key, long at) {
    if (!key.startsWith(GANG)) {
      return false;
    }
    Group group = context.roster.group(key.substring(GANG.length()));
    String why = "service " + group.spec.name + ": only " + group.tally().held + " of " + group.tally().members
        + " containers were given within " + group.spec.gang / 1000 + " s, and it starts with all or none";
    context.ending.stop(Outcome.FAILED, why, at);
    return true;
  }

  /** Write down what is not in the containers. */
  void note(Group group) {
    context.changes.put(key(group), record(group));
  }

  private static String key(Group group) {
    return "s " + group.spec.name;
  }

  private static Map<String, Object> record(Group group) {
    return Json.map("released", group.released, "ganged", group.ganged, "killed", group.killed, "restarts", group.restarts);
  }

  void dump(Map<String, Object> records) {
    context.roster.groups().forEach(group -> records.put(key(group), record(group)));
  }

  /** After a restart of the ApplicationMaster: what was waited for is waited for again. */
  void resume(long at) {
    for (Group group : context.roster.groups()) {
      if (group.released && !group.ganged) {
        context.alarms.set(GANG + group.spec.name, at + group.spec.gang);
      }
    }
    releaseAll(at);
  }
}
