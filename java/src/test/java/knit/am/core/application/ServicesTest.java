package knit.am.core.application;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import knit.am.Specs;
import knit.am.core.ReducerHarness;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Outcome;
import knit.am.json.Json;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Dependencies, readiness, gangs, completion: docs/protocol.md, section 7. */
class ServicesTest {
  private static ReducerHarness bench(String completion, String... services) {
    return new ReducerHarness(Specs.of(completion, services)).registered();
  }

  private static String two(String condition, String... changes) {
    return Specs.service("web", 1, "depends", "{\"db\":\"" + condition + "\"}");
  }

  @Test
  void aServiceWaitsUntilTheOtherHasStarted() {
    ReducerHarness bench = new ReducerHarness(Specs.of("[\"web\"]", new String[] {Specs.service("db", 2), two("started")}));
    assertEquals(ReducerHarness.list("Request 1", "Request 2"), bench.names());
    assertEquals("WAITING", bench.service("web").get("state"));
    assertEquals(1, bench.service("web").get("waiting"));
    bench.grant(1).grant(2);
    assertEquals(ReducerHarness.list(), bench.launched(1).names());
    assertEquals(ReducerHarness.list("Request 3"), bench.launched(2).names());
    assertEquals("STARTING", bench.service("web").get("state"));
  }

  @Test
  void aServiceWaitsUntilTheOtherIsReady() {
    String db = Specs.service("db", 1, "readiness",
        "{\"kind\":\"tcp\",\"port\":5000,\"interval\":1000,\"timeout\":500,\"deadline\":60000}");
    ReducerHarness bench = bench("[\"web\"]", db, two("ready"));
    bench.grant(1).launched(1);
    assertEquals(ReducerHarness.list("Probe container_1"), bench.names());
    assertEquals("node07 5000", bench.one(Action.Probe.class).host + " " + bench.one(Action.Probe.class).readiness.port);
    assertEquals(ReducerHarness.list(), bench.probed(1, false).names());
    assertEquals(bench.clock.now() + 1000, bench.core.nextTick());
    assertEquals(ReducerHarness.list("Probe container_1"), bench.tick(1000).names());
    assertEquals(0, bench.service("db").get("ready"));
    assertEquals(ReducerHarness.list("Request 2"), bench.probed(1, true).names());
    assertEquals("READY", bench.service("db").get("state"));
    assertEquals(ReducerHarness.list(), bench.tick(100_000).names());
  }

  @Test
  void aContainerSaysItselfThatItIsReadyEvenBeforeItsNodeDoes() {
    String db = Specs.service("db", 1, "readiness",
        "{\"kind\":\"report\",\"interval\":1000,\"timeout\":500,\"deadline\":0}");
    ReducerHarness bench = bench("[\"web\"]", db, two("ready"));
    bench.grant(1).on(new Call.Ready(bench.clock.now(), this, "container_1"));
    assertEquals(ReducerHarness.list("Request 2", "Answer 200"), bench.names());
    assertEquals(ReducerHarness.list(), bench.launched(1).names());
    bench.on(new Call.Ready(bench.clock.now(), this, "container_9"));
    assertEquals(ReducerHarness.list("Answer 409"), bench.names());
  }

  @Test
  void whoIsAskedIsJudgedByAnAnswerNotByOurDelay() {
    String db = Specs.service("db", 2, "readiness",
        "{\"kind\":\"tcp\",\"port\":5000,\"interval\":1000,\"timeout\":500,\"deadline\":3000}");
    ReducerHarness bench = bench("[\"db\"]", db);
    bench.grant(1).launched(1).grant(2).launched(2);
    assertEquals(ReducerHarness.list(), bench.tick(3000).names()); // no look has been answered yet
    assertEquals(ReducerHarness.list(), bench.probed(1, true).names());
    assertEquals(1, bench.service("db").get("ready"));
    assertEquals(ReducerHarness.list("Stop container_2"), bench.probed(2, false).names());
  }

  @Test
  void whoWasAskedInVainAndIsNotBeingAskedHasFailedInTime() {
    String db = Specs.service("db", 1, "readiness",
        "{\"kind\":\"tcp\",\"port\":5000,\"interval\":2000,\"timeout\":500,\"deadline\":3000}");
    ReducerHarness bench = bench("[\"db\"]", db);
    bench.grant(1).launched(1).probed(1, false);
    assertEquals(ReducerHarness.list("Probe container_1"), bench.tick(2000).names());
    bench.probed(1, false);
    assertEquals(ReducerHarness.list("Stop container_1"), bench.tick(1000).names());
  }

  @Test
  void anApplicationMasterThatComesBackLateAsksBeforeItJudges() {
    for (String kind : ReducerHarness.list("\"tcp\",\"port\":5000", "\"report\"")) {
      String db = Specs.service("db", 1, "readiness",
          "{\"kind\":" + kind + ",\"interval\":1000,\"timeout\":500,\"deadline\":3000}");
      ReducerHarness bench = bench("[\"db\"]", db);
      bench.grant(1).launched(1);
      bench.clock.advance(60_000);
      ReducerHarness next = bench.next().registered(ReducerHarness.on(1, "node07"));
      assertEquals(ReducerHarness.list(), next.tick(0).names().stream().filter(name -> name.startsWith("Stop"))
          .collect(java.util.stream.Collectors.toList()), kind);
      assertEquals(ReducerHarness.list("db_0/1 RUNNING"), next.containers(), kind);
      next.on(kind.contains("tcp") ? new Event.Probed(next.clock.now(), "container_1", true)
          : new Call.Ready(next.clock.now() + 5_000, this, "container_1"));
      assertEquals(1, next.service("db").get("ready"), kind);
    }
  }

  @Test
  void whatDoesNotBecomeReadyInTimeHasFailed() {
    String db = Specs.service("db", 1, "readiness",
        "{\"kind\":\"report\",\"interval\":1000,\"timeout\":500,\"deadline\":3000}", "restart", restart(1, 0));
    ReducerHarness bench = bench("[\"db\"]", db);
    bench.grant(1).launched(1);
    assertEquals(ReducerHarness.list("Stop container_1"), bench.tick(3000).names());
    assertEquals(ReducerHarness.list(), bench.completed(1, 143).names());
    assertEquals(ReducerHarness.list("db_0/1 FAILED", "db_0/2 WAITING"), bench.containers());
    assertEquals(ReducerHarness.list("Request 2"), bench.tick(1000).names());
    bench.grant(2).launched(2).tick(3000);
    bench.completed(2, 143);
    assertEquals("FAILED", bench.result().get("outcome"));
    assertTrue(bench.result().get("diagnostics").toString().contains("was not ready within 3.0 s"));
  }

  @Test
  void aServiceWaitsForTheOthersSuccess() {
    ReducerHarness bench = bench("[\"web\"]", Specs.service("db", 1), two("succeeded"));
    bench.grant(1).launched(1);
    assertEquals(ReducerHarness.list("Request 2"), bench.completed(1, 0).names());
    bench.grant(2).launched(2).completed(2, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void scalingAServiceThatWaitsAsksForNothing() {
    ReducerHarness bench = bench("[\"web\"]", Specs.service("db", 1), two("ready"));
    assertEquals(ReducerHarness.list("Answer 200"), bench.scale("web", 3).names());
    bench.grant(1);
    assertEquals(ReducerHarness.list("Request 2", "Request 3", "Request 4"), bench.launched(1).names());
  }

  @Test
  void whoWaitsInVainFailsTheApplication() {
    ReducerHarness bench = bench("[\"web\"]", Specs.service("db", 1, "required", "false"), two("succeeded"));
    bench.grant(1).launched(1).completed(1, 4);
    assertEquals("FAILED", bench.result().get("outcome"));
    assertTrue(bench.result().get("diagnostics").toString()
        .startsWith("service web cannot start, a service that it depends on has failed: db_0"));
  }

  @Test
  void theCompletionsServicesDecideAndTheOthersAreEnded() {
    ReducerHarness bench = bench("[\"train\"]", Specs.service("ps", 1), Specs.service("train", 1));
    bench.grant(1).launched(1).grant(2).launched(2);
    assertEquals(ReducerHarness.list("Stop container_1"), bench.completed(2, 0).names());
    bench.completed(1, 143);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
    assertEquals(0, bench.result().get("exitCode"));
  }

  @Test
  void aServiceThatIsNotRequiredMayFail() {
    ReducerHarness bench = bench("[\"train\"]", Specs.service("helper", 1, "required", "false"), Specs.service("train", 1));
    bench.grant(1).launched(1).grant(2).launched(2);
    assertEquals(ReducerHarness.list(), bench.completed(1, 9).names());
    bench.completed(2, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void whenAllHaveEndedAndItCannotSucceedItHasFailed() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 2, "required", "false"));
    bench.grant(1).launched(1).grant(2).launched(2).completed(1, 0).completed(2, 5);
    assertEquals("FAILED", bench.result().get("outcome"));
    assertEquals(5, bench.result().get("exitCode"));
  }

  @Test
  void withoutACompletionItEndsWhenAllHaveEnded() {
    ReducerHarness bench = bench("[]", Specs.service("main", 1));
    bench.grant(1).launched(1).completed(1, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void exitCodesOfSuccessAndOfFinalFailure() {
    String main = Specs.service("main", 2, "success", "[0,42]", "fatal", "[7]", "restart", restart(5, 0));
    ReducerHarness bench = bench("[\"main\"]", main);
    bench.grant(1).launched(1).grant(2).launched(2);
    bench.completed(1, 42);
    assertEquals(ReducerHarness.list("main_0/1 SUCCEEDED", "main_1/1 RUNNING"), bench.containers());
    bench.completed(2, 7);
    assertEquals("FAILED", bench.result().get("outcome"));
    assertEquals(7, bench.result().get("exitCode"));
  }

  private static String restart(int limit, long window) {
    return restart("on-failure", limit, window);
  }

  private static String restart(String policy, int limit, long window) {
    return "{\"policy\":\"" + policy + "\",\"limit\":" + limit + ",\"window\":" + window
        + ",\"firstDelay\":1000,\"longestDelay\":3000}";
  }

  @Test
  void restartsPauseLongerAndLongerUpToALimit() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 1, "restart", restart(4, 0)));
    long[] pauses = {1000, 2000, 3000, 3000};
    for (int request = 1; request <= 4; request++) {
      assertEquals(ReducerHarness.list(), bench.grant(request).launched(request).completed(request, 1).names());
      assertEquals(bench.clock.now() + pauses[request - 1], bench.core.nextTick());
      assertEquals(ReducerHarness.list(), bench.tick(pauses[request - 1] - 1).names());
      assertEquals(ReducerHarness.list("Request " + (request + 1)), bench.tick(1).names());
    }
    bench.grant(5).launched(5).completed(5, 1);
    assertEquals("FAILED", bench.result().get("outcome"));
    assertEquals(5, ((List<?>) bench.result().get("containers")).size());
    assertEquals("main_0/5 FAILED", bench.containers().get(4));
  }

  @Test
  void onlyRestartsWithinTheWindowCount() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 1, "restart", restart(1, 10_000)));
    bench.grant(1).launched(1).completed(1, 1).tick(1000);
    bench.grant(2).launched(2).tick(9_000);
    assertEquals(ReducerHarness.list(), bench.completed(2, 1).names());
    bench.tick(3000);
    bench.grant(3).launched(3).completed(3, 1);
    assertEquals("FAILED", bench.result().get("outcome"));
  }

  @Test
  void aLongRunEndsARowOfFailures() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 1, "restart", restart(-1, 0)));
    bench.grant(1).launched(1).completed(1, 1).tick(1000);
    bench.grant(2).launched(2).completed(2, 1);
    assertEquals(bench.clock.now() + 2000, bench.core.nextTick());
    bench.tick(2000).grant(3).launched(3).tick(InstanceGroup.History.STABLE);
    bench.completed(3, 1);
    assertEquals(bench.clock.now() + 1000, bench.core.nextTick());
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1})
  void whoIsRestartedAlwaysNeverSucceeds(int exit) {
    ReducerHarness bench = bench("[]", Specs.service("main", 1, "restart", restart("always", -1, 0)));
    bench.grant(1).launched(1);
    assertEquals(ReducerHarness.list(), bench.completed(1, exit).names());
    assertEquals(ReducerHarness.list("Request 2"), bench.tick(1000).names());
    assertEquals(1, bench.service("main").get("restarts"));
  }

  @Test
  void aSucceededInstanceIsNotRestartedOnFailure() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 2, "restart", restart(1, 0)));
    bench.grant(1).launched(1).grant(2).launched(2);
    assertEquals(ReducerHarness.list(), bench.completed(1, 0).names());
    assertEquals(Long.MAX_VALUE, bench.core.nextTick());
  }

  @Test
  void whatYarnTakesCountsForNothing() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 1, "restart", restart(1, 0)));
    for (int request = 1; request <= 5; request++) {
      assertEquals(ReducerHarness.list("Request " + (request + 1)),
          bench.grant(request).launched(request).completed(request, -102).names());
    }
    assertEquals(ReducerHarness.list(), bench.grant(6).launched(6).completed(6, 1).names());
    assertEquals(bench.clock.now() + 1000, bench.core.nextTick());
  }

  private static ReducerHarness preempting(ReducerHarness bench, long request) {
    return bench.on(new Event.Preempting(bench.clock.now(), java.util.Collections.singletonList(ReducerHarness.yarn(request))));
  }

  @Test
  void whoIsToBePreemptedIsToldOnceAndCountsForNothing() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 2, "grace", "5000"));
    bench.grant(1).launched(1).grant(2).launched(2);
    assertEquals(ReducerHarness.list("Signal container_1"), preempting(bench, 1).names());
    assertEquals(ReducerHarness.list(), preempting(bench, 1).names());
    // It leaves by itself before YARN takes it; the policy is to restart never.
    assertEquals(ReducerHarness.list("Request 3"), bench.completed(1, 143).names());
    bench.grant(3).launched(3).completed(2, 0);
    preempting(bench, 3);
    assertEquals(ReducerHarness.list("Request 4"), bench.completed(3, -102).names()); // it did not leave
    assertTrue(Json.write(bench.views().containers()).contains("was preempted; replaced"));
    bench.grant(4).launched(4);
    preempting(bench, 4);
    bench.completed(4, 0); // it was done in time
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void whoHasNoGraceIsNotSentASignal() {
    ReducerHarness bench = ReducerHarness.running(1);
    assertEquals(ReducerHarness.list(), preempting(bench, 1).names());
    assertTrue(Json.write(bench.views().events(0, 100)).contains("container-preempting"));
    assertEquals(ReducerHarness.list("Request 2"), bench.completed(1, -102).names());
    bench.grant(2).launched(2);
    preempting(bench, 2);
    bench.completed(2, 3); // it was told nothing: this failure is its own
    assertEquals("FAILED", bench.result().get("outcome"));
  }

  @Test
  void ranksThatWereFreedAreUsedAgainFirst() {
    ReducerHarness bench = ReducerHarness.running(3);
    assertEquals(ReducerHarness.list("Answer 200", "Stop container_3", "Stop container_2"), bench.scale(1).names());
    // Its old container is still there: two of one rank must never run at once.
    assertEquals(ReducerHarness.list("Answer 200"), bench.scale(3).names());
    assertEquals(3, bench.service("main").get("instances"));
    assertEquals(ReducerHarness.list("Request 4"), bench.completed(3, 143).names());
    bench.grant(4);
    assertEquals("main_2 of 3", bench.one(Action.Launch.class).id() + " of "
        + bench.one(Action.Launch.class).instances);
    bench.launched(4);
    assertEquals(ReducerHarness.list("Answer 200"), bench.scale(2).names().subList(0, 1));
    assertEquals(ReducerHarness.list("Request 5"), bench.next().registered(ReducerHarness.on(1, "node07"),
        ReducerHarness.on(4, "node07"),
        ReducerHarness.on(2, "node07")).completed(2, 143).names().stream().map(name -> name.replace("1000000001", "5"))
        .collect(java.util.stream.Collectors.toList()));
    assertEquals(ReducerHarness.list("Request 5"), bench.completed(2, 143).names());
    bench.grant(5).launched(5).completed(4, 143);
    assertEquals(ReducerHarness.list("main_0/1 RUNNING", "main_1/2 RUNNING"), bench.containers().subList(3, 5));
    bench.completed(1, 0).completed(5, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void aRankThatIsWantedAgainMayBeScaledAwayOrKilled() {
    ReducerHarness bench = ReducerHarness.running(3);
    bench.scale(1).scale(3);
    assertEquals(ReducerHarness.list("Answer 200"), bench.scale(2).names());
    assertEquals(ReducerHarness.list("Answer 200"), bench.kill("main_1").names());
    assertEquals(1, bench.service("main").get("instances"));
    assertEquals(ReducerHarness.list(), bench.completed(3, 143).completed(2, 143).names());
    bench.completed(1, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  private static ReducerHarness refused(ReducerHarness bench, long... requests) {
    List<Long> all = new java.util.ArrayList<>();
    for (long request : requests) {
      all.add(request);
    }
    return bench.on(new Event.RequestsRefused(bench.clock.now(), all, "more than 1024"));
  }

  @Test
  void aRefusedRequestIsMadeAgainAndTheOthersGoOn() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 2));
    bench.grant(1).launched(1);
    assertEquals(ReducerHarness.list(), refused(bench, 2, 77).names());
    assertEquals(ReducerHarness.list("main_0/1 RUNNING", "main_1/1 WAITING"), bench.containers());
    assertTrue(Json.write(bench.views().containers()).contains("YARN refuses its request: more than 1024"));
    assertEquals(ReducerHarness.list(), bench.tick(999).names());
    assertEquals(ReducerHarness.list("Request 3"), bench.tick(1).names());
    refused(bench, 3);
    assertEquals(bench.clock.now() + 2000, bench.core.nextTick());
    bench.tick(2000).grant(4).launched(4);
    assertTrue(!Json.write(bench.views().containers()).contains("refuses"));
    bench.completed(1, 0).completed(4, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void aRequestThatIsAlwaysRefusedFails() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 2));
    bench.grant(1).launched(1);
    for (int request = 2; request <= ContainerStarts.MAX_REFUSALS; request++) {
      assertEquals(ReducerHarness.list(), refused(bench, request).names());
      assertEquals(ReducerHarness.list("Request " + (request + 1)), bench.tick(ContainerStarts.LONGEST_REFUSAL_PAUSE).names());
    }
    assertEquals(ReducerHarness.list("Stop container_1"), refused(bench, ContainerStarts.MAX_REFUSALS + 1).names());
    bench.completed(1, 143);
    assertEquals("main_1 (null on no node) YARN refuses its request: more than 1024 (10 times)",
        bench.result().get("diagnostics"));
  }

  @Test
  void aRefusedRequestIsMadeAgainByTheNextAttempt() {
    ReducerHarness before = bench("[\"main\"]", Specs.service("main", 1));
    refused(before, 1);
    ReducerHarness next = before.next().registered();
    assertEquals(ReducerHarness.list("Request 1000000001"), next.tick(1000).names());
  }

  @Test
  void aRestartThatWaitsIsKilledAndScaledAway() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 2, "restart", restart(3, 0)));
    bench.grant(1).launched(1).grant(2).launched(2).completed(2, 1);
    assertEquals(ReducerHarness.list("Answer 200"), bench.kill("main_1").names());
    assertEquals(ReducerHarness.list(), bench.tick(5000).names());
    bench.completed(1, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void aGangStartsTogether() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 3, "gang", "60000"));
    assertEquals(ReducerHarness.list(), bench.grant(1).names());
    assertEquals(ReducerHarness.list(), bench.grant(3).names());
    assertEquals(ReducerHarness.list("main_0/1 HELD", "main_1/1 REQUESTED", "main_2/1 HELD"), bench.containers());
    // One that is lost while it is held is asked for again.
    assertEquals(ReducerHarness.list("Request 4"), bench.completed(1, -100).names());
    assertEquals(ReducerHarness.list(), bench.grant(2).names());
    bench.grant(4);
    assertEquals(ReducerHarness.list("Launch main_0", "Launch main_1", "Launch main_2"), bench.names());
    bench.launched(4).launched(2).launched(3);
    // Later ones start by themselves.
    bench.scale(4);
    assertEquals(ReducerHarness.list("Launch main_3"), bench.grant(5).names());
  }

  @Test
  void aGangThatIsNotGivenInTimeGivesBackWhatItHas() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 2, "gang", "60000"));
    bench.grant(1);
    assertEquals(ReducerHarness.list("Release container_1", "Cancel 2", "WriteResult"), bench.tick(60_000).names());
    assertEquals("service main: only 1 of 2 containers were given within 60 s, and it starts with all or none",
        bench.result().get("diagnostics"));
  }

  @Test
  void aGangScaledDownToWhatItHasStarts() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 2, "gang", "60000"));
    bench.grant(1);
    assertEquals(ReducerHarness.list("Answer 200", "Cancel 2", "Launch main_0"), bench.scale(1).names());
  }

  @Test
  void aGracefulStopBeginsWithATerm() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 1, "grace", "5000"));
    bench.grant(1).launched(1);
    assertEquals(ReducerHarness.list("Signal container_1", "Answer 200"), bench.shutdown(Outcome.SUCCEEDED, "").names());
    assertEquals(ReducerHarness.list("Stop container_1"), bench.tick(5000).names());
    assertEquals(ReducerHarness.list("Release container_1", "WriteResult"), bench.tick(ContainerStops.STOP_TIMEOUT).names());
  }

  @Test
  void aGracefulStopIsOverWhenTheContainerIs() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 1, "grace", "5000"));
    bench.grant(1).launched(1).shutdown(Outcome.SUCCEEDED, "");
    assertEquals(ReducerHarness.list("WriteResult"), bench.completed(1, 0).names());
  }

  @Test
  void aNodeWhereContainersKeepFailingIsAvoidedForAWhile() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 1, "restart", restart(-1, 0)));
    bench.on(new Event.ClusterSize(bench.clock.now(), 2));
    for (int request = 1; request <= 3; request++) {
      bench.grant(request).launched(request).completed(request, 1);
      assertEquals(request == 3 ? ReducerHarness.list("Avoid node07") : ReducerHarness.list(), bench.names());
      bench.tick(3000);
    }
    assertEquals("[node07]", bench.application().get("avoidedNodes").toString());
    assertTrue(bench.tick(NodeHealth.AVOID_TIME).names().contains("Avoid no longer node07"));
  }

  @Test
  void theOnlyNodeIsNotAvoided() {
    ReducerHarness bench = bench("[\"main\"]", Specs.service("main", 1, "restart", restart(-1, 0)));
    bench.on(new Event.ClusterSize(bench.clock.now(), 1));
    for (int request = 1; request <= 9; request++) {
      assertEquals(ReducerHarness.list(), bench.grant(request).launched(request).completed(request, 1).names());
      bench.tick(3000);
    }
  }

  @Test
  void instancesAreSpreadOverNodes() {
    ReducerHarness bench = new ReducerHarness(Specs.of("[\"main\"]", new String[] {Specs.service("main", 2, "spread", "true")}));
    assertEquals(ReducerHarness.list("AskNodes"), bench.names());
    bench.registered().on(new Event.Nodes(bench.clock.now(), Arrays.asList("b", "a", "c")));
    assertEquals(ReducerHarness.list("Request 1 on a", "Request 2 on b"), bench.names());
    bench.granted(ReducerHarness.on(1, "a"));
    // Its node is full: any that is free will do.
    assertEquals(ReducerHarness.list("Cancel 2", "Request 3 on b,c"), bench.tick(AntiAffinity.ONE_NODE_TIME).names());
    // YARN gives one on a node that is taken (it may, between two requests): it goes back.
    bench.granted(ReducerHarness.on(3, "a"));
    assertEquals(ReducerHarness.list("Release container_3", "Request 4 on b,c"), bench.names());
    bench.granted(ReducerHarness.on(4, "c"));
    assertEquals(ReducerHarness.list("Launch main_1"), bench.names());
  }

  @Test
  void aContainerOfAServiceThatManagesMayScale() {
    String[] services = {Specs.service("main", 1, "manages", "true"), Specs.service("worker", 0)};
    ReducerHarness bench = bench("[\"main\"]", services);
    bench.grant(1).launched(1);
    bench.on(new Call.Scale(bench.clock.now(), this, "container_1", "worker", 2, true, "00112233445566778899"));
    assertEquals(ReducerHarness.list("Answer 200", "Request 2", "Request 3"), bench.names());
    bench.on(new Call.Scale(bench.clock.now(), this, "container_1", "worker", 2, true, "00112233445566778899"));
    assertEquals(ReducerHarness.list("Answer 200"), bench.names());
    bench.grant(2).launched(2);
    bench.on(new Call.Scale(bench.clock.now(), this, "container_2", "worker", 9, false, null));
    assertEquals(ReducerHarness.list("Answer 403"), bench.names());
    bench.on(new Call.Scale(bench.clock.now(), this, null, "worker", -9, true, null));
    assertEquals(ReducerHarness.list("Answer 400"), bench.names());
  }
}
