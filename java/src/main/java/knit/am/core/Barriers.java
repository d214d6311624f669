package knit.am.core;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * Points where instances wait for one another. A barrier opens when all have arrived and stays open: an instance that was
 * restarted passes those that the others have passed already.
 */
final class Barriers {
  static final int LIMIT = 10_000;
  private static final String KEY = "b ";
  private static final String TOPIC = "barrier ";

  private static final class Barrier {
    /** 0: as many as the service has instances. */
    int parties;
    boolean open;
    final Set<String> arrived = new LinkedHashSet<>();

    Map<String, Object> record() {
      return Json.map("parties", parties, "open", open, "arrived", new ArrayList<>(arrived));
    }
  }

  private final Context context;
  private final Map<String, Barrier> barriers = new HashMap<>();

  Barriers(Context context) {
    this.context = context;
  }

  void arrive(Event.Arrive event) {
    Container container = context.roster.allocated(event.yarn);
    if (container == null) {
      context.refuse(event, 409, "ended", event.yarn + " has ended");
      return;
    }
    // With a number of parties it is the whole application's, else its service's.
    String name = (event.parties > 0 ? "" : container.service) + "/" + event.name;
    Barrier barrier = barriers.get(name);
    if (barrier == null) {
      if (barriers.size() >= LIMIT) {
        context.refuse(event, 413, "too-many", "there are " + LIMIT + " barriers already");
        return;
      }
      barrier = new Barrier();
      barrier.parties = event.parties;
      barriers.put(name, barrier);
    }
    if (event.parties != barrier.parties) {
      context.refuse(event, 409, "conflict", "the barrier \"" + event.name + "\" was made for " + barrier.parties);
      return;
    }
    if (!barrier.open && barrier.arrived.add(container.id())) {
      context.changes.put(KEY + name, barrier.record());
    }
    open(name, barrier);
    Barrier waitedFor = barrier;
    context.waiters.answer(event, TOPIC + name, event.deadline, () -> waitedFor.open ? view(name, waitedFor) : null,
        () -> context.answer(event, view(name, waitedFor)));
  }

  /** A service has other instances than before. */
  void changed(String service) {
    for (String topic : context.waiters.topics(TOPIC + service + "/")) {
      String name = topic.substring(TOPIC.length());
      open(name, barriers.get(name));
    }
  }

  private void open(String name, Barrier barrier) {
    if (barrier.open || barrier.arrived.size() < parties(name, barrier)) {
      return;
    }
    barrier.open = true;
    context.changes.put(KEY + name, barrier.record());
    context.waiters.look(TOPIC + name);
  }

  private int parties(String name, Barrier barrier) {
    Group group = context.roster.group(name.substring(0, name.indexOf('/')));
    return barrier.parties > 0 || group == null ? barrier.parties : group.instances();
  }

  private Map<String, Object> view(String name, Barrier barrier) {
    return Json.map("open", barrier.open, "arrived", barrier.arrived.size(), "parties", parties(name, barrier));
  }

  void dump(Map<String, Object> records) {
    barriers.forEach((name, barrier) -> records.put(KEY + name, barrier.record()));
  }

  /** Back from the journal; whether the record was one of ours. */
  boolean restore(String name, Object record) {
    if (!name.startsWith(KEY)) {
      return false;
    }
    Fields fields = new Fields(record, name);
    Barrier barrier = new Barrier();
    barrier.parties = fields.integer("parties");
    barrier.open = fields.flag("open");
    barrier.arrived.addAll(fields.texts("arrived"));
    barriers.put(name.substring(KEY.length()), barrier);
    return true;
  }
}
