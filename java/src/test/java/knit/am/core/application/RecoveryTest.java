package knit.am.core.application;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeSet;
import knit.am.Specs;
import knit.am.core.Reducer;
import knit.am.core.ReducerHarness;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Changes;
import knit.am.core.effects.RecordKind;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Identity;
import knit.am.core.model.Outcome;
import knit.am.json.Json;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the next attempt makes of the journal: docs/protocol.md, section 8. */
class RecoveryTest {
  private static final String RESTART =
      "{\"policy\":\"on-failure\",\"limit\":3,\"window\":0,\"firstDelay\":1000,\"longestDelay\":60000}";

  @Test
  void runningContainersAreKept() {
    ReducerHarness next = ReducerHarness.running(2).next();
    assertEquals(ReducerHarness.list(), next.names());
    assertEquals(ReducerHarness.list(), next.registered(ReducerHarness.on(1, "node07"), ReducerHarness.on(2, "node07")).names());
    assertEquals(ReducerHarness.list("main_0/1 RUNNING", "main_1/1 RUNNING"), next.containers());
    next.completed(1, 0).completed(2, 0);
    assertEquals("SUCCEEDED", next.result().get("outcome"));
  }

  @Test
  void howTheOthersEndedYarnStillTells() {
    ReducerHarness next = ReducerHarness.running(2).next().registered(ReducerHarness.on(2, "node07"));
    assertEquals(ReducerHarness.list(), next.completed(1, 0).names());
    assertEquals(ReducerHarness.list("main_0/1 SUCCEEDED", "main_1/1 RUNNING"), next.containers());
    assertEquals(ReducerHarness.list(), next.tick(60_000).names());
  }

  @Test
  void whatNobodyKnowsAnythingAboutIsReplaced() {
    ReducerHarness next = ReducerHarness.running(2).next().registered(ReducerHarness.on(2, "node07"));
    assertEquals(ReducerHarness.list("Request 1000000001"), next.tick(Takeover.LOST_TIMEOUT).names());
    assertEquals(ReducerHarness.list("main_0/1 KILLED", "main_0/2 REQUESTED", "main_1/1 RUNNING"), next.containers());
  }

  @Test
  void whatWasAskedForIsAskedForAgain() {
    ReducerHarness next = new ReducerHarness(2, 0).next().registered();
    assertEquals(ReducerHarness.list("Cancel 1", "Request 1000000001", "Cancel 2", "Request 1000000002"), next.names());
    // What the earlier attempt's request was answered with too late.
    assertEquals(ReducerHarness.list("Release container_1"), next.grant(1).names());
  }

  @Test
  void aContainerStartedInTheLastMomentIsFoundByItsRequest() {
    ReducerHarness before = new ReducerHarness(1, 0).registered();
    ReducerHarness next = before.next();
    assertEquals(ReducerHarness.list("Launch main_0"), next.registered(ReducerHarness.on(1, "node07")).names());
    assertEquals("main_0/1 RUNNING", next.launched(1).containers().get(0));
  }

  @Test
  void whatTheJournalDoesNotKnowIsReleased() {
    ReducerHarness next = ReducerHarness.running(1).next()
        .registered(ReducerHarness.on(1, "node07"), ReducerHarness.on(7, "node08"));
    assertEquals(ReducerHarness.list("Release container_7"), next.names());
  }

  @Test
  void restartsGoOnWhereTheyStood() {
    ReducerHarness before = new ReducerHarness(Specs.of(Specs.service("main", 1, "restart", RESTART))).registered();
    before.grant(1).launched(1).completed(1, 1);
    before.clock.advance(400);
    ReducerHarness next = before.next().registered();
    assertEquals(ReducerHarness.list("main_0/1 FAILED", "main_0/2 WAITING"), next.containers());
    assertEquals(ReducerHarness.list(), next.tick(599).names());
    assertEquals(ReducerHarness.list("Request 1000000001"), next.tick(1).names());
    next.grant(1000000001).launched(1000000001).completed(1000000001, 1);
    assertEquals(next.clock.now() + 2000, next.core.nextTick());
  }

  @ParameterizedTest
  @ValueSource(longs = {-86_400_000, 86_400_000})
  void aClockThatDiffersFromTheLastAttemptsDelaysNothing(long ahead) {
    String ready = "{\"kind\":\"report\",\"interval\":1000,\"timeout\":500,\"deadline\":5000}";
    ReducerHarness before = new ReducerHarness(Specs.of("[\"main\"]", new String[] {
      Specs.service("main", 1, "restart", RESTART), Specs.service("slow", 1, "readiness", ready),
    })).registered();
    before.grant(1).launched(1).completed(1, 1).grant(2).launched(2);
    ReducerHarness next = before.nextAhead(ahead).registered(ReducerHarness.on(2, "node07"));
    next.tick(60_000);
    assertEquals("REQUESTED", next.containers().get(1).split(" ")[1]);
    assertTrue(next.containers().toString().contains("slow_0/1 STOPPING"), next.containers().toString());
  }

  @Test
  void dependenciesGoOnWhereTheyStood() {
    String[] services = {Specs.service("db", 1), Specs.service("web", 1, "depends", "{\"db\":\"ready\"}")};
    ReducerHarness before = new ReducerHarness(Specs.of("[\"web\"]", services)).registered();
    before.grant(1);
    ReducerHarness next = before.next();
    assertEquals(ReducerHarness.list("Launch db_0"), next.registered(ReducerHarness.on(1, "node07")).names());
    assertEquals(ReducerHarness.list("Request 1000000001"), next.launched(1).names());
  }

  @Test
  void readinessIsWatchedAgain() {
    String db = Specs.service("main", 1, "readiness",
        "{\"kind\":\"tcp\",\"port\":5000,\"interval\":1000,\"timeout\":500,\"deadline\":5000}");
    ReducerHarness before = new ReducerHarness(Specs.of(db)).registered();
    before.grant(1).launched(1).probed(1, false);
    before.clock.advance(2000);
    ReducerHarness next = before.next().registered(ReducerHarness.on(1, "node07"));
    assertEquals(ReducerHarness.list("Probe container_1"), next.names());
    assertEquals(ReducerHarness.list(), next.tick(2999).names());
    next.tick(1); // the look is still under way
    assertEquals(ReducerHarness.list("Stop container_1"), next.probed(1, false).names());
  }

  @Test
  void aHeldGangIsAskedForAnew() {
    ReducerHarness before = new ReducerHarness(Specs.of(Specs.service("main", 2, "gang", "60000"))).registered();
    before.grant(1);
    ReducerHarness next = before.next().registered();
    assertEquals(ReducerHarness.list("Request 1000000001", "Cancel 2", "Request 1000000002"), next.names());
    next.grant(1000000001);
    assertEquals(ReducerHarness.list("Launch main_0", "Launch main_1"), next.grant(1000000002).names());
  }

  @Test
  void anEndGoesOn() {
    ReducerHarness before = ReducerHarness.running(2);
    before.shutdown(Outcome.FAILED, "because");
    ReducerHarness next = before.next();
    assertEquals(ReducerHarness.list(), next.names());
    assertEquals(ReducerHarness.list("Stop container_1"), next.registered(ReducerHarness.on(1, "node07")).names());
    assertEquals(ReducerHarness.list("WriteResult"), next.completed(1, 143).names());
    assertEquals("FAILED because 2", next.result().get("outcome") + " " + next.result().get("diagnostics") + " "
        + next.result().get("attempt"));
  }

  @Test
  void scalingIsKept() {
    ReducerHarness before = ReducerHarness.running(1);
    before.scale(3);
    ReducerHarness next = before.next().registered(ReducerHarness.on(1, "node07"));
    assertEquals(3, next.service("main").get("instances"));
    assertEquals(2, next.all(Action.Request.class).size());
  }

  @Test
  void resultsAndTheLifetimeAreKept() {
    ReducerHarness before = new ReducerHarness(1, 100).registered();
    before.grant(1).launched(1).on(new Call.Returned(1, this, "container_1", new Json.Raw(Json.map("n", 1.5))));
    before.clock.advance(60_000);
    ReducerHarness next = before.next().registered(ReducerHarness.on(1, "node07"));
    assertEquals("{\"results\":{\"main\":{\"0\":{\"n\":1.5}}}}", Json.write(next.views().results()));
    next.tick(40_000);
    assertEquals("KILLED", next.core.apply(new Event.Completed(next.clock.now(), "container_1", 143, "")).stream()
        .filter(action -> action instanceof Action.WriteResult).map(action -> ((Action.WriteResult) action).result)
        .findFirst().get().get("outcome"));
  }

  @Test
  void numbersOfEventsGoOn() {
    ReducerHarness before = ReducerHarness.running(1);
    long last = ((Number) before.application().get("events")).longValue();
    ReducerHarness next = before.next();
    assertEquals(last + 1, next.application().get("events"));
  }

  @Test
  void progressMayBeAFewSecondsOld() {
    ReducerHarness before = ReducerHarness.running(1);
    before.on(new Call.Progress(before.clock.now(), this, "container_1", 0.5, Json.map("loss", 1L)));
    assertEquals(null, before.next().core.progress() == 0 ? null : "kept at once");
    before.tick(2000);
    ReducerHarness next = before.next();
    assertEquals(0.5, next.core.progress());
  }

  /** Whatever happens: the journal's records, written down and read back, are the state. */
  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
  void theJournalIsTheState(long seed) {
    Random random = new Random(seed);
    String[] services = {
      Specs.service("main", 4, "restart", RESTART, "required", "false"),
      Specs.service("late", 2, "depends", "{\"main\":\"started\"}", "gang", "60000", "grace", "2000"),
      Specs.service("probed", 1, "restart", RESTART.replace("on-failure", "always"), "readiness",
          "{\"kind\":\"report\",\"interval\":1000,\"timeout\":500,\"deadline\":5000}"),
    };
    ReducerHarness bench = new ReducerHarness(Specs.of("[\"main\",\"late\"]", services)).registered();
    Chaos chaos = new Chaos(bench, random);
    for (int i = 0; i < 300 && bench.all(Action.Unregister.class).isEmpty(); i++) {
      chaos.step();
      bench.tick(3000); // what is lazy is written down
      compare(bench.core.dump(), bench.journal);
    }
    Reducer again = new Reducer(new Identity("application_1_0001", 2, "alice"), bench.spec);
    again.restore(ReducerHarness.read(bench.journal));
    compare(bench.core.dump(), again.dump());
    assertFalse(bench.journal.isEmpty());
  }

  @Test
  void anAttemptThatIsTerminatedAndLivesOnRecordsNoEnd() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.on(new Event.Terminated(bench.clock.now()));
    bench.tick(60_000);
    bench.journal.putAll(bench.core.dump()); // a journal that is begun anew holds the whole state
    ReducerHarness next = bench.next().registered(ReducerHarness.on(1, "node07"));
    assertEquals("RUNNING", next.state());
    assertEquals(Collections.emptyList(), next.all(Action.WriteResult.class));
  }

  private static void compare(Map<String, Object> expected, Map<String, Object> actual) {
    TreeSet<String> keys = new TreeSet<>(expected.keySet());
    keys.addAll(actual.keySet());
    for (String key : keys) {
      assertEquals(Json.write(expected.get(key)), Json.write(actual.get(key)), key);
    }
  }

  /** Lets things happen to a bench at random, as a cluster might. */
  static final class Chaos {
    private final ReducerHarness bench;
    private final Random random;
    private final List<Long> asked = new ArrayList<>();
    private final List<Long> given = new ArrayList<>();

    Chaos(ReducerHarness bench, Random random) {
      this.bench = bench;
      this.random = random;
    }

    void step() {
      note();
      int which = random.nextInt(12);
      if (which < 4 && !asked.isEmpty()) {
        long request = asked.remove(random.nextInt(asked.size()));
        given.add(request);
        bench.grant(request);
      } else if (which < 6 && !given.isEmpty()) {
        bench.launched(given.get(random.nextInt(given.size())));
      } else if (which < 8 && !given.isEmpty()) {
        int[] exits = {0, 0, 1, 137, -100, -102, -104};
        bench.completed(given.remove(random.nextInt(given.size())), exits[random.nextInt(exits.length)]);
      } else if (which == 8) {
        bench.scale("main", random.nextInt(6));
      } else if (which == 9) {
        bench.on(new Call.KvPut(bench.clock.now(), this, null, "k" + random.nextInt(5), new Json.Raw(random.nextInt()), null,
            Long.toHexString(random.nextLong())));
      } else if (which == 10) {
        bench.on(new Call.KvDelete(bench.clock.now(), this, null, "k" + random.nextInt(5), null, null));
      } else if (!given.isEmpty()) {
        String yarn = ReducerHarness.yarn(given.get(random.nextInt(given.size())));
        bench.on(new Call.Progress(bench.clock.now(), this, yarn, random.nextDouble(), Json.map("x", 1L)));
        note();
        bench.on(new Call.Returned(bench.clock.now(), this, yarn, new Json.Raw("v")));
        bench.on(new Call.Ready(bench.clock.now(), this, yarn));
        bench.on(new Call.Arrive(bench.clock.now(), this, yarn, "b" + random.nextInt(3), 0, bench.clock.now() + 500));
      }
      note();
    }

    private void note() {
      for (Action.Request request : bench.all(Action.Request.class)) {
        if (!asked.contains(request.request) && !given.contains(request.request)) {
          asked.add(request.request);
        }
      }
    }
  }

  @Test
  void changesComeInTheOrderInWhichTheyAreToBeRead() {
    Changes changes = new Changes(new Alarms());
    changes.put(RecordKind.ARRIVAL, "main_0 x", null);
    changes.put(RecordKind.BARRIER, "x", 1L);
    changes.put(RecordKind.ARRIVAL, "main_0 x", 2L);
    assertEquals("{b x=1, w main_0 x=2}", changes.take().toString());
  }

  @Test
  void aJournalWithAnUnknownRecordIsRefused() {
    Reducer core = new Reducer(new Identity("application_1_0001", 2, "alice"), Specs.of(1, 0));
    assertTrue(org.junit.jupiter.api.Assertions.assertThrows(IllegalArgumentException.class,
        () -> core.restore(Json.map("zz 1", 1L))).getMessage().contains("zz 1"));
  }
}
