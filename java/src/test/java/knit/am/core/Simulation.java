package knit.am.core;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import knit.am.Specs;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Identity;
import knit.am.json.Json;
import knit.am.util.ManualClock;

/**
 * A whole application on a cluster that exists in memory only: each request is given a container, each container runs and
 * ends, one in a hundred with a failure. {@code main} prints what an event cost while the application grew and shrank.
 */
final class Simulation {
  private static final String RESTART =
      "{\"policy\":\"on-failure\",\"limit\":50,\"window\":0,\"firstDelay\":0,\"longestDelay\":0}";

  private final ManualClock clock = new ManualClock();
  private final Random random = new Random(1);
  private final Reducer core;
  private final Deque<Long> asked = new ArrayDeque<>();
  private final Deque<String> running = new ArrayDeque<>();
  private final int share;
  private long journal;
  private long events;
  private long nanos;
  private Map<String, Object> result;

  /** @param oneIn of so many containers one fails */
  Simulation(int instances, int oneIn) {
    share = oneIn;
    core = new Reducer(new Identity("application_1_0001", 1, "alice"),
        Specs.of(Specs.service("main", instances, "restart", RESTART)));
    on(new Event.Started(clock.now()));
    on(new Event.Registered(clock.now(), Collections.emptyList()));
    on(new Event.ClusterSize(clock.now(), 1000));
  }

  private void on(Event event) {
    long begin = System.nanoTime();
    List<Action> actions = core.apply(event);
    Map<String, Object> changes = core.changes();
    core.progress();
    nanos += System.nanoTime() - begin;
    events++;
    journal += changes.size();
    for (Action action : actions) {
      if (action instanceof Action.Request) {
        asked.add(((Action.Request) action).request);
      } else if (action instanceof Action.WriteResult) {
        result = ((Action.WriteResult) action).result;
      }
    }
  }

  /** Give containers for up to so many requests, a node for each fifty. */
  private void give(int most) {
    for (int i = 0; i < most && !asked.isEmpty(); i++) {
      long request = asked.poll();
      String yarn = "container_" + request;
      String host = "node" + request % 200;
      on(new Event.Allocated(clock.now(), Collections.singletonList(
          new Grant(yarn, request, host + ":8041", host + ":8042"))));
      on(new Event.Launched(clock.now(), yarn));
      running.add(yarn);
      clock.advance(1);
    }
  }

  private void end(int most) {
    for (int i = 0; i < most && !running.isEmpty(); i++) {
      String yarn = running.poll();
      on(new Call.Progress(clock.now(), this, yarn, 0.5, Collections.emptyMap()));
      on(new Event.Completed(clock.now(), yarn, random.nextInt(share) == 0 ? 1 : 0, ""));
      clock.advance(1);
    }
  }

  /** Run it to its end. */
  Map<String, Object> run() {
    while (result == null) {
      give(Integer.MAX_VALUE);
      end(running.size());
    }
    return result;
  }

  /** Nanoseconds for each event since the last call. */
  private long cost() {
    long cost = events == 0 ? 0 : nanos / events;
    events = 0;
    nanos = 0;
    return cost;
  }

  static long used() {
    for (int i = 0; i < 3; i++) {
      System.gc();
    }
    Runtime runtime = Runtime.getRuntime();
    return runtime.totalMemory() - runtime.freeMemory();
  }

  /** Prints one line of JSON. Argument: how many containers. */
  public static void main(String[] arguments) {
    int instances = Integer.parseInt(arguments[0]);
    new Simulation(2000, 100).run(); // the compiler has seen it all
    long before = used();
    Simulation simulation = new Simulation(instances, 100);
    simulation.cost();
    List<Object> giving = new ArrayList<>();
    for (int i = 0; i < 10; i++) {
      simulation.give(instances / 10);
      giving.add(simulation.cost());
    }
    long full = used() - before;
    List<Object> ending = new ArrayList<>();
    for (int i = 0; i < 10 && simulation.result == null; i++) {
      simulation.end(instances / 10);
      simulation.give(Integer.MAX_VALUE);
      ending.add(simulation.cost());
    }
    simulation.run();
    System.out.println(Json.write(Json.map("containers", instances, "outcome", simulation.result.get("outcome"),
        "nanosecondsPerEventWhileStarting", giving, "nanosecondsPerEventWhileEnding", ending, "bytesPerContainer",
        full / instances, "records", simulation.journal, "heapMax",
        String.format(Locale.ROOT, "%d MiB", Runtime.getRuntime().maxMemory() >> 20))));
  }
}
