package knit.am.core;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import knit.am.ManualClock;
import knit.am.Specs;
import knit.am.json.Json;

/** Drives a reducer by hand: each method is something that happens, what it decides is in {@link #actions}. */
final class Bench {
  final ManualClock clock = new ManualClock();
  final Spec spec;
  final Core core;
  /** What the journal holds. */
  final Map<String, Object> journal;
  List<Action> actions = new ArrayList<>();

  Bench(int instances, long lifetime) {
    this(Specs.of(instances, lifetime));
  }

  Bench(Spec spec) {
    this.spec = spec;
    journal = new LinkedHashMap<>();
    core = new Core(new Identity("application_1_0001", 1, "alice"), spec);
    on(new Event.Started(clock.now()));
  }

  private Bench(Bench before, int attempt, long ahead) {
    spec = before.spec;
    clock.advance(before.clock.now() - clock.now() + ahead);
    journal = new LinkedHashMap<>(before.journal);
    core = new Core(new Identity("application_1_0001", attempt, "alice"), spec);
    core.restore(read(journal));
    on(new Event.Started(clock.now()));
  }

  /** The attempt after this one, which has died: made of what the journal holds. */
  Bench next() {
    return new Bench(this, 2, 0);
  }

  /** The same, on a machine whose clock is so many milliseconds ahead. */
  Bench nextAhead(long milliseconds) {
    return new Bench(this, 2, milliseconds);
  }

  /** As it comes back from the file. */
  static Map<String, Object> read(Map<String, Object> records) {
    Map<String, Object> read = new LinkedHashMap<>();
    records.forEach((key, record) -> read.put(key, Json.parse(Json.write(record).getBytes())));
    return read;
  }

  Bench registered(Event.Grant... previous) {
    return on(new Event.Registered(clock.now(), Arrays.asList(previous)));
  }

  static Event.Grant on(long request, String host) {
    return new Event.Grant(yarn(request), request, host + ":8041", host + ":8042");
  }

  /** All instances of all services that may start run; the container of the request n is {@code container_n}. */
  static Bench running(int instances) {
    Bench bench = new Bench(instances, 0);
    bench.registered();
    for (int request = 1; request <= instances; request++) {
      bench.grant(request);
      bench.launched(request);
    }
    return bench;
  }

  static String yarn(long request) {
    return "container_" + request;
  }

  Bench on(Event event) {
    actions = core.apply(event);
    core.changes().forEach((key, record) -> {
      journal.remove(key);
      if (record != null) {
        journal.put(key, record);
      }
    });
    return this;
  }

  Bench grant(long request) {
    return on(new Event.Allocated(clock.now(),
        Collections.singletonList(new Event.Grant(yarn(request), request, "node07:8041", "node07:8042"))));
  }

  Bench granted(Event.Grant grant) {
    return on(new Event.Allocated(clock.now(), Collections.singletonList(grant)));
  }

  Bench probed(long request, boolean good) {
    return on(new Event.Probed(clock.now(), yarn(request), good));
  }

  Bench launched(long request) {
    return on(new Event.Launched(clock.now(), yarn(request)));
  }

  Bench completed(long request, int exit, String... diagnostics) {
    return on(new Event.Completed(clock.now(), yarn(request), exit, String.join("\n", diagnostics)));
  }

  Bench scale(int instances) {
    return scale("main", instances);
  }

  Bench scale(String service, int instances) {
    return on(new Event.Scale(clock.now(), this, null, service, instances, false, null));
  }

  Bench kill(String id) {
    return on(new Event.Kill(clock.now(), this, null, id, null));
  }

  Bench shutdown(Outcome outcome, String why) {
    return on(new Event.Shutdown(clock.now(), this, null, outcome, why));
  }

  Bench tick(long later) {
    clock.advance(later);
    return on(new Event.Tick(clock.now()));
  }

  <T extends Action> List<T> all(Class<T> type) {
    List<T> found = new ArrayList<>();
    for (Action action : actions) {
      if (type.isInstance(action)) {
        found.add(type.cast(action));
      }
    }
    return found;
  }

  <T extends Action> T one(Class<T> type) {
    List<T> found = all(type);
    if (found.size() != 1) {
      throw new AssertionError("expected one " + type.getSimpleName() + ", got " + names());
    }
    return found.get(0);
  }

  /** The actions in short: {@code Stop container_2}. */
  List<String> names() {
    List<String> names = new ArrayList<>();
    for (Action action : actions) {
      String name = action.getClass().getSimpleName();
      if (action instanceof Action.Stop) {
        name += " " + ((Action.Stop) action).yarn;
      } else if (action instanceof Action.Signal) {
        name += " " + ((Action.Signal) action).yarn;
      } else if (action instanceof Action.Probe) {
        name += " " + ((Action.Probe) action).yarn;
      } else if (action instanceof Action.Avoid) {
        name += (((Action.Avoid) action).avoid ? " " : " no longer ") + ((Action.Avoid) action).host;
      } else if (action instanceof Action.Release) {
        name += " " + ((Action.Release) action).yarn;
      } else if (action instanceof Action.Request) {
        name += " " + ((Action.Request) action).request;
        List<String> hosts = ((Action.Request) action).hosts;
        name += hosts == null ? "" : " on " + String.join(",", hosts);
      } else if (action instanceof Action.Cancel) {
        name += " " + ((Action.Cancel) action).request;
      } else if (action instanceof Action.Launch) {
        name += " " + ((Action.Launch) action).container.id();
      } else if (action instanceof Action.Answer) {
        name += " " + ((Action.Answer) action).status;
      }
      names.add(name);
    }
    return names;
  }

  static List<String> list(String... names) {
    return Arrays.asList(names);
  }

  Map<?, ?> service(String name) {
    return (Map<?, ?>) ((Map<?, ?>) application().get("services")).get(name);
  }

  Map<String, Object> application() {
    return core.views().application(core.pages());
  }

  /** instances, running, pending, succeeded, failed. */
  List<Object> counts() {
    List<Object> counts = new ArrayList<>();
    for (String name : list("instances", "running", "pending", "succeeded", "failed")) {
      counts.add(service("main").get(name));
    }
    return counts;
  }

  /** id, attempt and state of each container: {@code main_0/1 RUNNING}. */
  List<String> containers() {
    List<String> states = new ArrayList<>();
    for (Object item : (List<?>) core.views().containers().get("containers")) {
      Map<?, ?> view = (Map<?, ?>) Json.parse(((Json.Raw) item).text.getBytes(StandardCharsets.US_ASCII));
      states.add(view.get("id") + "/" + view.get("attempt") + " " + view.get("state"));
    }
    return states;
  }

  String state() {
    return core.views().state();
  }

  Map<String, Object> result() {
    return one(Action.WriteResult.class).result;
  }

  /** result.json as a reader sees it. */
  Map<?, ?> written() {
    return (Map<?, ?>) Json.parse(Json.write(result()).getBytes());
  }
}
