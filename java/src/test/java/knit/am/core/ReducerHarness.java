package knit.am.core;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import knit.am.Specs;
import knit.am.core.application.Views;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Identity;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;
import knit.am.json.Json;
import knit.am.util.ManualClock;

/** Drives a reducer by hand: each method is something that happens, what it decides is in {@link #actions}. */
public final class ReducerHarness {
  public final ManualClock clock = new ManualClock();
  public final Spec spec;
  public final Reducer core;
  /** What the journal holds. */
  public final Map<String, Object> journal;
  public List<Action> actions = new ArrayList<>();

  public ReducerHarness(int instances, long lifetime) {
    this(Specs.of(instances, lifetime));
  }

  public ReducerHarness(Spec spec) {
    this.spec = spec;
    journal = new LinkedHashMap<>();
    core = new Reducer(new Identity("application_1_0001", 1, "alice"), spec);
    on(new Event.Started(clock.now()));
  }

  private ReducerHarness(ReducerHarness before, int attempt, long ahead) {
    spec = before.spec;
    clock.advance(before.clock.now() - clock.now() + ahead);
    journal = new LinkedHashMap<>(before.journal);
    core = new Reducer(new Identity("application_1_0001", attempt, "alice"), spec);
    core.restore(read(journal));
    on(new Event.Started(clock.now()));
  }

  /** The attempt after this one, which has died: made of what the journal holds. */
  public ReducerHarness next() {
    return new ReducerHarness(this, 2, 0);
  }

  /** The same, on a machine whose clock is so many milliseconds ahead. */
  public ReducerHarness nextAhead(long milliseconds) {
    return new ReducerHarness(this, 2, milliseconds);
  }

  /** As it comes back from the file. */
  public static Map<String, Object> read(Map<String, Object> records) {
    Map<String, Object> read = new LinkedHashMap<>();
    records.forEach((key, record) -> read.put(key, Json.parse(Json.write(record).getBytes())));
    return read;
  }

  public ReducerHarness registered(Grant... previous) {
    return on(new Event.Registered(clock.now(), Arrays.asList(previous)));
  }

  public static Grant on(long request, String host) {
    return new Grant(yarn(request), request, host + ":8041", host + ":8042");
  }

  /** All instances of all services that may start run; the container of the request n is {@code container_n}. */
  public static ReducerHarness running(int instances) {
    ReducerHarness bench = new ReducerHarness(instances, 0);
    bench.registered();
    for (int request = 1; request <= instances; request++) {
      bench.grant(request);
      bench.launched(request);
    }
    return bench;
  }

  public static String yarn(long request) {
    return "container_" + request;
  }

  public ReducerHarness on(Event event) {
    actions = core.apply(event);
    core.changes().forEach((key, record) -> {
      journal.remove(key);
      if (record != null) {
        journal.put(key, record);
      }
    });
    return this;
  }

  public ReducerHarness grant(long request) {
    return on(new Event.Allocated(clock.now(),
        Collections.singletonList(new Grant(yarn(request), request, "node07:8041", "node07:8042"))));
  }

  public ReducerHarness granted(Grant grant) {
    return on(new Event.Allocated(clock.now(), Collections.singletonList(grant)));
  }

  public ReducerHarness probed(long request, boolean good) {
    return on(new Event.Probed(clock.now(), yarn(request), good));
  }

  public ReducerHarness launched(long request) {
    return on(new Event.Launched(clock.now(), yarn(request)));
  }

  public ReducerHarness completed(long request, int exit, String... diagnostics) {
    return on(new Event.Completed(clock.now(), yarn(request), exit, String.join("\n", diagnostics)));
  }

  public ReducerHarness scale(int instances) {
    return scale("main", instances);
  }

  public ReducerHarness scale(String service, int instances) {
    return on(new Call.Scale(clock.now(), this, null, service, instances, false, null));
  }

  public ReducerHarness kill(String id) {
    return on(new Call.Kill(clock.now(), this, null, id, null));
  }

  public ReducerHarness shutdown(Outcome outcome, String why) {
    return on(new Call.Shutdown(clock.now(), this, null, outcome, why));
  }

  public ReducerHarness tick(long later) {
    clock.advance(later);
    return on(new Event.Tick(clock.now()));
  }

  public <T extends Action> List<T> all(Class<T> type) {
    List<T> found = new ArrayList<>();
    for (Action action : actions) {
      if (type.isInstance(action)) {
        found.add(type.cast(action));
      }
    }
    return found;
  }

  public <T extends Action> T one(Class<T> type) {
    List<T> found = all(type);
    if (found.size() != 1) {
      throw new AssertionError("expected one " + type.getSimpleName() + ", got " + names());
    }
    return found.get(0);
  }

  /** The actions in short: {@code Stop container_2}. */
  public List<String> names() {
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
        name += " " + ((Action.Launch) action).id();
      } else if (action instanceof Action.Answer) {
        name += " " + ((Action.Answer) action).status;
      }
      names.add(name);
    }
    return names;
  }

  public static List<String> list(String... names) {
    return Arrays.asList(names);
  }

  public Map<?, ?> service(String name) {
    return (Map<?, ?>) ((Map<?, ?>) application().get("services")).get(name);
  }

  public Views views() {
    return core.views();
  }

  public Map<String, Object> application() {
    return core.views().application();
  }

  /** instances, running, pending, succeeded, failed. */
  public List<Object> counts() {
    List<Object> counts = new ArrayList<>();
    for (String name : list("instances", "running", "pending", "succeeded", "failed")) {
      counts.add(service("main").get(name));
    }
    return counts;
  }

  /** id, attempt and state of each container: {@code main_0/1 RUNNING}. */
  public List<String> containers() {
    List<String> states = new ArrayList<>();
    for (Object item : (List<?>) core.views().containers().get("containers")) {
      Map<?, ?> view = (Map<?, ?>) Json.parse(((Json.Raw) item).text.getBytes(StandardCharsets.US_ASCII));
      states.add(view.get("id") + "/" + view.get("attempt") + " " + view.get("state"));
    }
    return states;
  }

  public String state() {
    return core.views().state();
  }

  public Map<String, Object> result() {
    return one(Action.WriteResult.class).result;
  }

  /** result.json as a reader sees it. */
  public Map<?, ?> written() {
    return (Map<?, ?>) Json.parse(Json.write(result()).getBytes());
  }
}
