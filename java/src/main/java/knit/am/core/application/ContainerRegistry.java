package knit.am.core.application;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import knit.am.core.effects.Changes;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Spec;
import knit.am.json.Fields;
import knit.am.json.Json;

/** All present containers and some past ones, by service, request and id. Each change is recorded for the journal. */
public final class ContainerRegistry {
  /** Past containers that are kept: the first failures and the newest others. */
  static final int FIRST_FAILURES = 100;
  static final int NEWEST_ENDED = 900;

  private final Changes changes;
  private final Map<String, InstanceGroup> groups = new LinkedHashMap<>();
  private final Map<Long, Container> requested = new HashMap<>();
  private final Map<String, Container> allocated = new HashMap<>();
  private final List<Container> failures = new ArrayList<>();
  private final Deque<Container> past = new ArrayDeque<>();

  public ContainerRegistry(Spec spec, Changes changes) {
    this.changes = changes;
    for (Spec.Service service : spec.services.values()) {
      groups.put(service.name, new InstanceGroup(service));
    }
  }

  Collection<InstanceGroup> groups() {
    return groups.values();
  }

  /** Null for an unknown service. */
  public InstanceGroup group(String service) {
    return groups.get(service);
  }

  InstanceGroup group(Container container) {
    return groups.get(container.service);
  }

  /** Remove the container of a request and return it; null if there is none any more. */
  Container takeRequested(long request) {
    return requested.remove(request);
  }

  /** The live container with this id of YARN, or null. */
  public Container allocated(String yarn) {
    return allocated.get(yarn);
  }

  Collection<Container> allocated() {
    return allocated.values();
  }

  Collection<Container> requested() {
    return requested.values();
  }

  /** Replace a container by its changed copy. */
  Container update(Container container) {
    place(container);
    changes.put(RecordKind.CONTAINER, container.key(), container.record(false));
    return container;
  }

  /** The same for a change that may be lost in a crash. */
  Container updateLazily(Container container, long at) {
    place(container);
    changes.putLazily(RecordKind.CONTAINER, container.key(), container.record(false), at);
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
      requested.put(container.request(), container);
    }
  }

  /** A container has ended: its request and its id lead to it no more. */
  void forget(Container ended) {
    requested.remove(ended.request());
    allocated.remove(ended.yarn());
  }

  /** An instance has left its service. */
  void remove(Container ended) {
    group(ended).remove(ended);
    archive(ended);
  }

  /** Keep an ended container as a past one. */
  void archive(Container ended) {
    changes.put(RecordKind.CONTAINER, ended.key(), ended.record(true));
    keep(ended);
  }

  private void keep(Container ended) {
    if (ended.state() == ContainerState.FAILED && failures.size() < FIRST_FAILURES) {
      failures.add(ended);
      return;
    }
    past.addLast(ended);
    if (past.size() > NEWEST_ENDED) {
      changes.put(RecordKind.CONTAINER, past.removeFirst().key(), null);
    }
  }

  /** The newest attempt of every instance. */
  List<Container> present() {
    List<Container> present = new ArrayList<>();
    for (InstanceGroup group : groups.values()) {
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
    for (InstanceGroup group : groups.values()) {
      live += group.counts().live;
    }
    return live;
  }

  /** By instance ({@code main_0}) or YARN's id; the newest one if several match. */
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

  // Journal

  void dump(Records records) {
    failures.forEach(container -> records.put(RecordKind.CONTAINER, container.key(), lazy(container, true)));
    past.forEach(container -> records.put(RecordKind.CONTAINER, container.key(), lazy(container, true)));
    present().forEach(container -> records.put(RecordKind.CONTAINER, container.key(), lazy(container, false)));
  }

  private static Json.Lazy lazy(Container container, boolean past) {
    return () -> container.record(past);
  }

  /** Record the history of a rank. */
  void recordHistory(InstanceGroup group, int rank) {
    changes.put(RecordKind.HISTORY, instance(group, rank), group.history(rank).record());
  }

  private static String instance(InstanceGroup group, int rank) {
    return group.spec.name + "_" + rank;
  }

  void dumpHistories(Records records) {
    for (InstanceGroup group : groups.values()) {
      group.histories().forEach((rank, history) ->
          records.put(RecordKind.HISTORY, instance(group, rank), history.record()));
    }
  }

  void restoreHistory(String instance, Fields fields) {
    int cut = instance.lastIndexOf('_');
    groups.get(instance.substring(0, cut)).restore(Integer.parseInt(instance.substring(cut + 1)),
        InstanceGroup.History.of(fields));
  }

  void restore(Fields fields) {
    Container container = Container.of(fields);
    if (fields.flag("past")) {
      keep(container);
    } else {
      place(container);
    }
  }
}
