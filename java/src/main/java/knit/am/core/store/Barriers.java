package knit.am.core.store;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import knit.am.core.application.Container;
import knit.am.core.application.ContainerRegistry;
import knit.am.core.effects.Effects;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.message.Call;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * Points where instances wait for one another. A barrier opens when all instances have arrived, and stays open, so that a restarted
 * instance passes it too. The arrival of an instance that has left its service does not count. The newest open barriers are kept.
 */
final class Barriers {
  /** Barriers that have not opened. */
  static final int LIMIT = 10_000;
  /** Open barriers that are kept. */
  static final int OPEN_LIMIT = 10_000;
  /** Arrivals at all barriers that have not opened. */
  static final int ARRIVALS_LIMIT = 200_000;
  private static final String TOPIC = "barrier ";

  private static final class Barrier {
    /** 0: as many as the service has instances. */
    final int parties;
    final Set<String> arrived = new HashSet<>();

    Barrier(int parties) {
      this.parties = parties;
    }
  }

  /** An open barrier. */
  private static final class Opened {
    final int parties;
    final int arrived;

    Opened(int parties, int arrived) {
      this.parties = parties;
      this.arrived = arrived;
    }
  }

  private final Effects effects;
  private final ContainerRegistry registry;
  private final Map<String, Barrier> closed = new HashMap<>();
  /** The oldest first. */
  private final Map<String, Opened> opened = new LinkedHashMap<>();
  private int arrivals;

  Barriers(Effects effects, ContainerRegistry registry) {
    this.effects = effects;
    this.registry = registry;
  }

  void arrive(Call.Arrive event) {
    Container container = registry.allocated(event.yarn);
    // A barrier with a number of parties belongs to the application, another one to the service.
    String name = (event.parties > 0 ? "" : container.service) + "/" + event.name;
    int made = opened.containsKey(name) ? opened.get(name).parties
        : closed.containsKey(name) ? closed.get(name).parties : event.parties;
    if (event.parties != made) {
      effects.refuse(event, 409, "conflict", "the barrier \"" + event.name + "\" was made for " + made);
      return;
    }
    if (!opened.containsKey(name) && !container.isLeaving()) {
      if (!closed.containsKey(name) && closed.size() >= LIMIT || arrivals >= ARRIVALS_LIMIT) {
        effects.refuse(event, 413, "too-many", "there are " + closed.size() + " barriers already that have not opened, with "
            + arrivals + " arrivals");
        return;
      }
      if (add(name, event.parties, container.id())) {
        open(name);
      }
    }
    effects.waiters.answer(event, TOPIC + name, event.deadline, () -> opened.containsKey(name) ? view(name, event) : null,
        () -> effects.answer(event, view(name, event)));
  }

  private boolean add(String name, int parties, String id) {
    Barrier barrier = closed.get(name);
    if (barrier == null) {
      barrier = new Barrier(parties);
      closed.put(name, barrier);
      effects.changes.put(RecordKind.BARRIER, name, record(barrier));
    }
    if (!barrier.arrived.add(id)) {
      return false;
    }
    arrivals++;
    effects.changes.put(RecordKind.ARRIVAL, arrival(name, id), true);
    return true;
  }

  private static String arrival(String name, String id) {
    return id + " " + name;
  }

  /** The instances of a service have changed: arrivals of those that left do not count, and all others may have arrived. */
  void changed(String service) {
    for (String name : new ArrayList<>(closed.keySet())) {
      boolean own = name.startsWith(service + "/");
      if (own || name.startsWith("/")) {
        dropArrivalsOfLeft(name);
      }
      if (own && closed.containsKey(name)) {
        open(name);
      }
    }
  }

  private void dropArrivalsOfLeft(String name) {
    Barrier barrier = closed.get(name);
    for (String id : new ArrayList<>(barrier.arrived)) {
      if (!belongs(id)) {
        barrier.arrived.remove(id);
        arrivals--;
        effects.changes.put(RecordKind.ARRIVAL, arrival(name, id), null);
      }
    }
    if (barrier.arrived.isEmpty()) {
      closed.remove(name);
      effects.changes.put(RecordKind.BARRIER, name, null);
    }
  }

  private boolean belongs(String id) {
    int cut = id.lastIndexOf('_');
    Container present = registry.group(id.substring(0, cut)).at(Integer.parseInt(id.substring(cut + 1)));
    return present != null && !present.isLeaving();
  }

  private void open(String name) {
    Barrier barrier = closed.get(name);
    if (barrier.arrived.size() < parties(name, barrier.parties)) {
      return;
    }
    closed.remove(name);
    arrivals -= barrier.arrived.size();
    barrier.arrived.forEach(id -> effects.changes.put(RecordKind.ARRIVAL, arrival(name, id), null));
    Opened now = new Opened(barrier.parties, barrier.arrived.size());
    opened.put(name, now);
    effects.changes.put(RecordKind.BARRIER, name, record(now));
    if (opened.size() > OPEN_LIMIT) {
      String oldest = opened.keySet().iterator().next();
      opened.remove(oldest);
      effects.changes.put(RecordKind.BARRIER, oldest, null);
    }
    effects.waiters.changed(TOPIC + name);
  }

  private int parties(String name, int parties) {
    return parties > 0 ? parties : registry.group(name.substring(0, name.indexOf('/'))).instances();
  }

  private Map<String, Object> view(String name, Call.Arrive event) {
    Opened open = opened.get(name);
    if (open != null) {
      return Json.map("open", true, "arrived", open.arrived, "parties", open.arrived);
    }
    Barrier barrier = closed.get(name);
    return Json.map("open", false, "arrived", barrier == null ? 0 : barrier.arrived.size(), "parties",
        parties(name, event.parties));
  }

  private static Map<String, Object> record(Barrier barrier) {
    return Json.map("parties", barrier.parties, "open", false, "arrived", 0);
  }

  private static Map<String, Object> record(Opened open) {
    return Json.map("parties", open.parties, "open", true, "arrived", open.arrived);
  }

  void dump(Records records) {
    opened.forEach((name, open) -> records.put(RecordKind.BARRIER, name, record(open)));
    closed.forEach((name, barrier) -> {
      records.put(RecordKind.BARRIER, name, record(barrier));
      barrier.arrived.forEach(id -> records.put(RecordKind.ARRIVAL, arrival(name, id), true));
    });
  }

  /** Restore a barrier. Its arrivals follow. */
  void restore(String name, Fields fields) {
    int parties = fields.integer("parties");
    if (fields.flag("open")) {
      opened.put(name, new Opened(parties, fields.integer("arrived")));
    } else {
      closed.put(name, new Barrier(parties));
    }
  }

  void restoreArrival(String arrival) {
    int space = arrival.indexOf(' ');
    closed.get(arrival.substring(space + 1)).arrived.add(arrival.substring(0, space));
    arrivals++;
  }
}
