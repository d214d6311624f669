package knit.am.core;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import knit.am.json.Json;

/** All containers there are and were, found by service, request or id; every change goes to the journal from here. */
final class ContainerRegistry {
  /** Ended containers without a place in their service that are kept: the first failures and the newest. */
  static final int FIRST_FAILURES = 100;
  static final int NEWEST_ENDED = 900;

  private final Changes changes;
  private final Map<String, Group> groups = new LinkedHashMap<>();
  private final Map<Long, Container> waiting = new HashMap<>();
  private final Map<String, Container> allocated = new HashMap<>();
  private final List<Container> failures = new ArrayList<>();
  private final Deque<Container> past = new ArrayDeque<>();

  ContainerRegistry(Spec spec, Changes changes) {
    this.changes = changes;
    for (Spec.Service service : spec.services.values()) {
      groups.put(service.name, new Group(service));
    }
  }

  Collection<Group> groups() {
    return groups.values();
  }

  /** Null for a service that is not there. */
  Group group(String service) {
    return groups.get(service);
  }

  Group group(Container container) {
    return groups.get(container.service);
  }

  /** Who waited for this request, null if nobody does any more. */
  Container waited(long request) {
    return waiting.remove(request);
  }

  /** The live container with this id of YARN's, or null. */
  Container allocated(String yarn) {
    return allocated.get(yarn);
  }

  Collection<Container> allocated() {
    return allocated.values();
  }

  Collection<Container> waiting() {
    return waiting.values();
  }

  /** Put a changed container in its predecessor's place. */
  Container update(Container container) {
    place(container);
    changes.put(key(container), container.record(false));
    return container;
  }

  /** The same for what changes often and is no loss. */
  Container updateLazily(Container container, long at) {
    place(container);
    changes.putLazily(key(container), container.record(false), at);
    return container;
  }

  private void place(Container container) {
    group(container).put(container);
    if (!container.live()) {
      return;
    }
    if (container.yarn() != null) {
      allocated.put(container.yarn(), container);
    } else if (container.state() == ContainerState.REQUESTED) {
      waiting.put(container.request(), container);
    }
  }

  /** Nothing more is expected of a container. */
  void forget(Container ended) {
    waiting.remove(ended.request());
    allocated.remove(ended.yarn());
  }

  /** An ended container has no place in its service any more. */
  void remove(Container ended) {
    group(ended).remove(ended);
    archive(ended);
  }

  /** Keep what an ended container was. */
  void archive(Container ended) {
    changes.put(key(ended), ended.record(true));
    remember(ended);
  }

  private void remember(Container ended) {
    if (ended.state() == ContainerState.FAILED && failures.size() < FIRST_FAILURES) {
      failures.add(ended);
      return;
    }
    past.addLast(ended);
    if (past.size() > NEWEST_ENDED) {
      changes.put(key(past.removeFirst()), null);
    }
  }

  private static String key(Container container) {
    return "c " + container.key();
  }

  /** The newest attempt of every instance. */
  List<Container> present() {
    List<Container> present = new ArrayList<>();
    for (Group group : groups.values()) {
      group.all().forEach(present::add);
    }
    return present;
  }

  /** Past and present. */
  List<Container> all() {
    List<Container> all = new ArrayList<>(failures);
    all.addAll(past);
    all.addAll(present());
    return all;
  }

  int live() {
    int live = 0;
    for (Group group : groups.values()) {
      live += group.tally().live;
    }
    return live;
  }

  /** By our id or YARN's; the newest one if several had the id. */
  Container find(String id) {
    Container found = allocated.get(id);
    int cut = id.lastIndexOf('_');
    if (found == null && cut > 0 && groups.containsKey(id.substring(0, cut)) && id.matches(".*_[0-9]{1,9}")) {
      found = groups.get(id.substring(0, cut)).at(Integer.parseInt(id.substring(cut + 1)));
    }
    if (found != null) {
      return found;
    }
    List<Container> all = all();
    for (int i = all.size() - 1; i >= 0; i--) {
      Container container = all.get(i);
      if (id.equals(container.id()) || id.equals(container.yarn())) {
        return container;
      }
    }
    return null;
  }

  /** All there is, for the journal. */
  void dump(Map<String, Object> records) {
    failures.forEach(container -> records.put(key(container), lazy(container, true)));
    past.forEach(container -> records.put(key(container), lazy(container, true)));
    present().forEach(container -> records.put(key(container), lazy(container, false)));
  }

  private static Json.Lazy lazy(Container container, boolean past) {
    return () -> container.record(past);
  }

  /** Back from the journal. */
  void restore(Container container, boolean ended) {
    if (ended) {
      remember(container);
    } else {
      place(container);
    }
  }
}
