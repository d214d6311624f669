package knit.am.core;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * The instances of one service: for each rank its newest attempt, as long as the instance belongs to the service or its
 * container is still on its way out. Counts are kept as containers change, so that no event costs more with many instances.
 */
final class Group {
  final Spec.Service spec;
  private final TreeMap<Integer, Container> slots = new TreeMap<>();
  private final Map<Integer, History> histories = new HashMap<>();
  private final InstanceCounts tally = new InstanceCounts();
  /** Whether what it depends on is there. */
  boolean released;
  /** Whether all were started together, or need not be. */
  boolean ganged;
  /** Instances that we ended. */
  int killed;
  /** Containers that took the place of others. */
  int restarts;

  /** What happened to one rank before. */
  static final class History {
    /** A run of so many milliseconds ends a row of quick restarts. */
    static final long STABLE = 600_000;

    int attempts;
    /** Times at which a NodeManager did not take its container, in a row. */
    /** Containers whose files could not be copied to their nodes because the filesystem was away; of this attempt only. */
    int unfetched;
    int refusals;
    /** Restarts in a row, each soon after the one before. */
    int streak;
    int restarts;
    final Deque<Long> times = new ArrayDeque<>();

    /** Whether the limit of restarts within the window leaves one more. */
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

    /** Note one more restart after a run of `ran` milliseconds; the pause before it, doubled while runs are short. */
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

    /** Nothing lies in the future: an earlier attempt's clock may have been ahead of ours. */
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

  Group(Spec.Service spec) {
    this.spec = spec;
    ganged = spec.gang == 0;
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
    tally.count(slots.put(container.instance, container), -1);
    tally.count(container, 1);
  }

  void remove(Container container) {
    tally.count(slots.remove(container.instance), -1);
  }

  Container at(int rank) {
    return slots.get(rank);
  }

  Iterable<Container> all() {
    return slots.values();
  }

  InstanceCounts tally() {
    return tally;
  }

  int instances() {
    return tally.members;
  }

  boolean meets(Spec.Condition condition) {
    switch (condition) {
      case STARTED:
        return tally.running + tally.stopping + tally.succeeded + tally.failed >= tally.members;
      case READY:
        return tally.ready + tally.succeeded >= tally.members;
      default:
        return tally.succeeded >= tally.members;
    }
  }

  /** The lowest ranks that are not in use, or whose instances are on their way out. */
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

  /** Who goes first when there are too many: waiting before running before ended, each from the highest rank. */
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
    List<Container> going = new ArrayList<>();
    for (List<Container> some : order) {
      for (Container container : some) {
        if (going.size() < count) {
          going.add(container);
        }
      }
    }
    return going;
  }
}
