package knit.am.core;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * Points where instances wait for one another. A barrier opens when all have arrived and stays open: an instance that was
 * restarted passes those that the others have passed already. An instance that has left its service has not arrived. Of those
 * that have opened the newest are remembered.
 */
final class Barriers {
  /** Barriers that have not opened. */
  static final int LIMIT = 10_000;
  /** Open barriers that are remembered. */
  static final int OPEN_LIMIT = 10_000;
  /** Arrivals at all that have not opened. */
  static final int ARRIVALS_LIMIT = 200_000;
  private static final String KEY = "b ";
  /** An arrival: the container's name, a space, the barrier's. */
  private static final String ARRIVAL = "w ";
  private static final String TOPIC = "barrier ";

  private static final class Barrier {
    /** 0: as many as the service has instances. */
    final int parties;
    final Set<String> arrived = new HashSet<>();

    Barrier(int parties) {
      this.parties = parties;
    }
  }

  /** An open barrier, and how many it took to open it. */
  private static final class Opened {
    final int parties;
    final int arrived;

    Opened(int parties, int arrived) {
      this.parties = parties;
      this.arrived = arrived;
    }
  }

  private final Context context;
  private final Map<String, Barrier> closed = new HashMap<>();
  /** The oldest first. */
  private final Map<String, Opened> opened = new LinkedHashMap<>();
  private int arrivals;

  Barriers(Context context) {
    this.context = context;
  }

  void arrive(Event.Arrive event) {
    Container container = context.roster.allocated(event.yarn);
    // With a number of parties it is the whole application's, else its service's.
    String name = (event.parties > 0 ? "" : container.service) + "/" + event.name;
    int made = opened.containsKey(name) ? opened.get(name).parties
        : closed.containsKey(name) ? closed.get(name).parties : event.parties;
    if (event.parties != made) {
      context.refuse(event, 409, "conflict", "the barrier \"" + event.name + "\" was made for " + made);
      return;
    }
    if (!opened.containsKey(name) && !container.isLeaving()) {
      if (!closed.containsKey(name) && closed.size() >= LIMIT || arrivals >= ARRIVALS_LIMIT) {
        context.refuse(event, 413, "too-many", "there are " + closed.size() + " barriers already that have not opened, with "
            + arrivals + " arrivals");
        return;
      }
      if (add(name, event.parties, container.id())) {
        open(name);
      }
    }
    context.waiters.answer(event, TOPIC + name, event.deadline, () -> opened.containsKey(name) ? view(name, event) : null,
        () -> context.answer(event, view(name, event)));
  }

  private boolean add(String name, int parties, String id) {
    Barrier barrier = closed.get(name);
    if (barrier == null) {
      barrier = new Barrier(parties);
      closed.put(name, barrier);
      context.changes.put(KEY + name, record(barrier));
    }
    if (!barrier.arrived.add(id)) {
      return false;
    }
    arrivals++;
    context.changes.put(arrivalKey(name, id), true);
    return true;
  }

  private static String arrivalKey(String name, String id) {
    return ARRIVAL + id + " " + name;
  }

  /** A service has other instances than before: who has left it has not arrived, and all that are left may have. */
  void changed(String service) {
    for (String name : new ArrayList<>(closed.keySet())) {
      boolean own = name.startsWith(service + "/");
      if (own || name.startsWith("/")) {
        forgetLeft(name);
      }
      if (own && closed.containsKey(name)) {
        open(name);
      }
    }
  }

  private void forgetLeft(String name) {
    Barrier barrier = closed.get(name);
    for (String id : new ArrayList<>(barrier.arrived)) {
      if (!belongs(id)) {
        barrier.arrived.remove(id);
        arrivals--;
        context.changes.put(arrivalKey(name, id), null);
      }
    }
    if (barrier.arrived.isEmpty()) {
      closed.remove(name);
      context.changes.put(KEY + name, null);
    }
  }

  private boolean belongs(String id) {
    int cut = id.lastIndexOf('_');
    Container present = context.roster.group(id.substring(0, cut)).at(Integer.parseInt(id.substring(cut + 1)));
    return present != null && !present.isLeaving();
  }

  private void open(String name) {
    Barrier barrier = closed.get(name);
    if (barrier.arrived.size() < parties(name, barrier.parties)) {
      return;
    }
    closed.remove(name);
    arrivals -= barrier.arrived.size();
    barrier.arrived.forEach(id -> context.changes.put(arrivalKey(name, id), null));
    Opened now = new Opened(barrier.parties, barrier.arrived.size());
    opened.put(name, now);
    context.changes.put(KEY + name, record(now));
    if (opened.size() > OPEN_LIMIT) {
      String oldest = opened.keySet().iterator().next();
      opened.remove(oldest);
      context.changes.put(KEY + oldest, null);
    }
    context.waiters.look(TOPIC + name);
  }

  private int parties(String name, int parties) {
    return parties > 0 ? parties : context.roster.group(name.substring(0, name.indexOf('/'))).instances();
  }

  private Map<String, Object> view(String name, Event.Arrive event) {
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

  void dump(Map<String, Object> records) {
    opened.forEach((name, open) -> records.put(KEY + name, record(open)));
    closed.forEach((name, barrier) -> {
      records.put(KEY + name, record(barrier));
      barrier.arrived.forEach(id -> records.put(arrivalKey(name, id), true));
    });
  }

  /** Back from the journal, a barrier before those that arrived at it; whether the record was one of ours. */
  boolean restore(String key, Object record) {
    if (key.startsWith(ARRIVAL)) {
      String id = key.substring(ARRIVAL.length(), key.indexOf(' ', ARRIVAL.length()));
      closed.get(key.substring(ARRIVAL.length() + id.length() + 1)).arrived.add(id);
      arrivals++;
      return true;
    }
    if (!key.startsWith(KEY)) {
      return false;
    }
    String name = key.substring(KEY.length());
    Fields fields = new Fields(record, key);
    int parties = fields.integer("parties");
    if (fields.flag("open")) {
      opened.put(name, new Opened(parties, fields.integer("arrived")));
    } else {
      closed.put(name, new Barrier(parties));
    }
    return true;
  }
}
