package knit.am.core.application;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import knit.am.core.model.Spec;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * The instances of one service: the newest attempt of each rank, until the instance has left the service and its container has
 * ended. Counts are updated with each change, so that the cost of an event does not grow with the instances.
 */
public final class InstanceGroup {
  final Spec.Service spec;
  /** By rank. */
  private final TreeMap<Integer, Container> slots = new TreeMap<>();
  private final Map<Integer, History> histories = new HashMap<>();
  private final InstanceCounts counts = new InstanceCounts();
  /** Whether its dependencies are met. */
  boolean unblocked;
  /** Whether all containers of its gang were allocated; true for a service without one. */
  boolean gangComplete;
  /** Containers that the ApplicationMaster stopped. */
  int killed;
  /** Containers that followed another one of their rank. */
  int restarts;

  /** The earlier attempts of one rank. */
  static final class History {
    /** A run of at least so many milliseconds resets the pause between restarts. */
    static final long STABLE = 600_000;

    int attempts;
    /** Containers whose files could not be copied because the filesystem did not serve; not in the journal. */
    int unfetched;
    /** Refusals in a row, by the ResourceManager or a NodeManager. */
    int refusals;
    /** Restarts in a row after short runs. */
    int streak;
    int restarts;
    /** Times of restarts within the window. */
    final Deque<Long> times = new ArrayDeque<>();

    /** Whether the limit allows one more restart. */
    boolean mayRestart(Spec.Restart rule, long at) {
      if (rule.limit < 0) {
        return true;
      }
      if (rule.window == 0) {
        return restarts < rule.limit;
      }
      while (!times.isEmpty() && times.getFirst() <= at - rule.window) {
        times.removeFirst();
      }
      return times.size() < rule.limit;
    }

    /**
     * Count a restart.
     *
     * @param ran milliseconds of the run before
     * @return the pause before it, doubled while runs are short
     */
    long restart(Spec.Restart rule, long at, long ran) {
      streak = ran >= STABLE ? 0 : streak;
      long pause = (long) Math.min(rule.longestDelay, rule.firstDelay * Math.pow(2, Math.min(streak, 40)));
      streak++;
      restarts++;
      if (rule.window > 0 && rule.limit >= 0) {
        times.addLast(at);
      }
      return pause;
    }

    /** Move times in the future to now: the clock of the earlier attempt may have been ahead. */
    void notAfter(long at) {
      for (int i = times.size(); i > 0; i--) {
        times.addLast(Math.min(at, times.removeFirst()));
      }
    }

    Map<String, Object> record() {
      return Json.map("attempts", attempts, "refusals", refusals, "streak", streak, "restarts", restarts, "times",
          new ArrayList<>(times));
    }

    static History of(Fields fields) {
      History history = new History();
      history.attempts = fields.integer("attempts");
      history.refusals = fields.integer("refusals");
      history.streak = fields.integer("streak");
      history.restarts = fields.integer("restarts");
      fields.list("times").forEach(time -> history.times.add((Long) time));
      return history;
    }
  }

  InstanceGroup(Spec.Service spec) {
    this.spec = spec;
    gangComplete = spec.gang == 0;
  }

  History history(int rank) {
    return histories.computeIfAbsent(rank, key -> new History());
  }

  void restore(int rank, History history) {
    histories.put(rank, history);
  }

  Map<Integer, History> histories() {
    return histories;
  }

  /** The next attempt of a rank. */
  Container begin(int rank) {
    Container container = new Container(spec.name, rank, ++history(rank).attempts);
    put(container);
    return container;
  }

  void put(Container container) {
    counts.count(slots.put(container.instance, container), -1);
    counts.count(container, 1);
  }

  void remove(Container container) {
    counts.count(slots.remove(container.instance), -1);
  }

  public Container at(int rank) {
    return slots.get(rank);
  }

  Iterable<Container> all() {
    return slots.values();
  }

  /** All containers, to be changed while they are read. */
  List<Container> copy() {
    return new ArrayList<>(slots.values());
  }

  InstanceCounts counts() {
    return counts;
  }

  public int instances() {
    return counts.members;
  }

  boolean meets(Spec.Condition condition) {
    switch (condition) {
      case STARTED:
        return counts.running + counts.stopping + counts.succeeded + counts.failed >= counts.members;
      case READY:
        return counts.ready + counts.succeeded >= counts.members;
      default:
        return counts.succeeded >= counts.members;
    }
  }

  /** The lowest `count` ranks that are unused or whose instances are leaving. */
  List<Integer> free(int count) {
    List<Integer> ranks = new ArrayList<>();
    for (int rank = 0; ranks.size() < count; rank++) {
      Container there = slots.get(rank);
      if (there == null || there.isLeaving()) {
        ranks.add(rank);
      }
    }
    return ranks;
  }

  /** The `count` containers to scale away: waiting before running before ended ones, the highest ranks first. */
  List<Container> surplus(int count) {
    List<List<Container>> order = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      order.add(new ArrayList<>());
    }
    for (Container container : slots.descendingMap().values()) {
      if (!container.isLeaving()) {
        order.get(!container.live() ? 2 : container.state().begun() ? 1 : 0).add(container);
      }
    }
    List<Container> surplus = new ArrayList<>();
    for (List<Container> some : order) {
      for (Container container : some) {
        if (surplus.size() < count) {
          surplus.add(container);
        }
      }
    }
    return surplus;
  }
}
