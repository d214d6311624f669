package knit.am.core.application;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import knit.am.core.ReducerHarness;
import knit.am.core.message.Action;
import knit.am.core.message.Event;
import knit.am.core.model.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** How an application ends: docs/protocol.md, sections 6 and 7. */
class LifecycleTest {
  @Test
  void containersAreAskedForAtOnce() {
    ReducerHarness bench = new ReducerHarness(2, 0);
    assertEquals(ReducerHarness.list("Request 1", "Request 2"), bench.names());
    assertEquals("STARTING", bench.state());
  }

  @Test
  void itSucceedsWhenEveryInstanceHas() {
    ReducerHarness bench = ReducerHarness.running(2);
    assertEquals(ReducerHarness.list(), bench.completed(1, 0).names());
    bench.completed(2, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
    assertEquals(0, bench.result().get("exitCode"));
    assertEquals(1.0, bench.result().get("progress"));
    bench.on(new Event.ResultWritten(bench.clock.now(), null));
    Action.Unregister unregister = bench.one(Action.Unregister.class);
    assertEquals(Outcome.SUCCEEDED, unregister.outcome);
    bench.on(new Event.Unregistered(bench.clock.now()));
    assertEquals(0, bench.one(Action.Exit.class).code);
  }

  @Test
  void itFailsAsSoonAsOneHasAndEndsTheRest() {
    ReducerHarness bench = ReducerHarness.running(3);
    bench.clock.advance(4100);
    bench.completed(2, 3, "Exception from container-launch.", "Last 4096 bytes of stderr :", "the line before",
        "last line of stderr");
    assertEquals(ReducerHarness.list("Stop container_1", "Stop container_3"), bench.names());
    assertEquals(ReducerHarness.list(), bench.completed(1, 143).names());
    bench.completed(3, -105);
    Map<?, ?> result = bench.written();
    assertEquals("FAILED", result.get("outcome"));
    assertEquals(3L, result.get("exitCode"));
    String line = "main_1 (container_2 on node07) exited with 3 after 4.1 s | last line of stderr | the line before";
    assertEquals(line, result.get("diagnostics"));
    assertEquals(ReducerHarness.list("main_0/1 KILLED", "main_1/1 FAILED", "main_2/1 KILLED"), bench.containers());
    Map<?, ?> failed = (Map<?, ?>) ((List<?>) result.get("containers")).get(1);
    assertEquals(ReducerHarness.list("the line before", "last line of stderr"), failed.get("stderr"));
    assertEquals("{instances=3, succeeded=0, failed=1, killed=2, restarts=0}",
        ((Map<?, ?>) result.get("services")).get("main").toString());
    bench.on(new Event.ResultWritten(bench.clock.now(), null));
    assertEquals(Outcome.FAILED, bench.one(Action.Unregister.class).outcome);
    assertEquals(line, bench.one(Action.Unregister.class).diagnostics);
  }

  @Test
  void theFirstFailureCounts() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.completed(1, 3);
    bench.completed(2, 9);
    assertEquals(3, bench.result().get("exitCode"));
    assertTrue(bench.result().get("diagnostics").toString().startsWith("main_0 "));
  }

  @Test
  void waitingOnesAreTakenBackWhenItFails() {
    ReducerHarness bench = new ReducerHarness(2, 0);
    bench.grant(1).launched(1).completed(1, 1);
    assertEquals(ReducerHarness.list("Cancel 2", "WriteResult"), bench.names());
  }

  @Test
  void containersThatDoNotEndAreGivenToTheResourceManagerAndNotWaitedFor() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.completed(1, 1);
    assertEquals(bench.clock.now() + ContainerStops.STOP_TIMEOUT, bench.core.nextTick());
    assertEquals(ReducerHarness.list(), bench.tick(ContainerStops.STOP_TIMEOUT - 1).names());
    assertEquals(ReducerHarness.list("Release container_2", "WriteResult"), bench.tick(1).names());
  }

  @ParameterizedTest
  @ValueSource(ints = {-100, -101, -102, -106, -107, -108})
  void whatYarnTakesAwayIsReplaced(int status) {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.completed(1, status, "taken");
    assertEquals(ReducerHarness.list("Request 2"), bench.names());
    assertEquals(Arrays.<Object>asList(1, 0, 1, 0, 0), bench.counts());
    assertEquals(ReducerHarness.list("main_0/1 KILLED", "main_0/2 REQUESTED"), bench.containers());
    bench.grant(2);
    Action.Launch launch = bench.one(Action.Launch.class);
    assertEquals(2, launch.attempt);
    bench.launched(2).completed(2, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
    assertEquals("{instances=1, succeeded=1, failed=0, killed=0, restarts=1}",
        ((Map<?, ?>) bench.result().get("services")).get("main").toString());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 137, 143, -103, -104, -109, -1000})
  void everyOtherExitIsAFailure(int status) {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.completed(1, status, "why");
    assertEquals("FAILED", bench.result().get("outcome"));
    assertEquals(status, bench.result().get("exitCode"));
  }

  @Test
  void anAllocationLostBeforeItsStartIsReplaced() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    bench.grant(1).completed(1, -100, "Container expired since it was unused");
    assertEquals(ReducerHarness.list("Request 2"), bench.names());
  }

  @Test
  void aContainerMayEndBeforeWeHearThatItBegan() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    bench.grant(1).completed(1, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
    assertEquals(ReducerHarness.list(), bench.launched(1).names());
    assertEquals(ReducerHarness.list("main_0/1 SUCCEEDED"), bench.containers());
  }

  @Test
  void lateAndUnknownEventsChangeNothing() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.completed(1, 0);
    assertEquals(ReducerHarness.list(), bench.completed(1, 1).names());
    assertEquals(ReducerHarness.list(), bench.completed(99, 1).names());
    assertEquals(ReducerHarness.list(), bench.launched(99).names());
    assertEquals(ReducerHarness.list("Release container_99"), bench.grant(99).names());
    assertEquals(ReducerHarness.list("Release container_1"), bench.grant(1).names());
    assertEquals(Arrays.<Object>asList(2, 1, 0, 1, 0), bench.counts());
  }

  @Test
  void containersGivenWhileStoppingAreReleased() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    bench.shutdown(Outcome.SUCCEEDED, "");
    assertEquals(ReducerHarness.list("Cancel 1", "Answer 200", "WriteResult"), bench.names());
    assertEquals(ReducerHarness.list("Release container_1"), bench.grant(1).names());
  }

  @Test
  void aNodeThatRefusesIsTriedAgainButNotForEver() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    for (int request = 1; request < ContainerStarts.MAX_REFUSALS; request++) {
      bench.grant(request).on(new Event.LaunchFailed(bench.clock.now(), ReducerHarness.yarn(request), "no route", false));
      assertEquals(ReducerHarness.list("Release container_" + request, "Request " + (request + 1)), bench.names());
    }
    bench.grant(ContainerStarts.MAX_REFUSALS).on(new Event.LaunchFailed(bench.clock.now(),
        ReducerHarness.yarn(ContainerStarts.MAX_REFUSALS), "no route", false));
    assertEquals("FAILED", bench.result().get("outcome"));
    assertTrue(bench.result().get("diagnostics").toString().contains("could not be started: no route"));
  }

  /** A NameNode that restarts while containers get their files is not the program's failure; one that stays away is. */
  @Test
  void aContainerWhoseFilesCannotBeCopiedNowIsReplacedButNotForEver() {
    String away = "Call From vm to nn:8020 failed on connection exception: java.net.ConnectException: Connection refused";
    ReducerHarness bench = ReducerHarness.running(1);
    for (int request = 1; request <= ContainerStarts.MAX_REFUSALS; request++) {
      bench.completed(request, -1000, "Resource failed", away);
      assertEquals(ReducerHarness.list(), bench.names());
      bench.tick(ContainerStarts.LONGEST_REFUSAL_PAUSE);
      assertEquals(ReducerHarness.list("Request " + (request + 1)), bench.names());
      bench.grant(request + 1).launched(request + 1);
    }
    bench.completed(ContainerStarts.MAX_REFUSALS + 1, -1000, away);
    assertEquals("FAILED", bench.result().get("outcome"));
    ReducerHarness gone = ReducerHarness.running(1);
    gone.completed(1, -1000, "java.io.FileNotFoundException: File does not exist: hdfs://nn/x");
    assertEquals("FAILED", gone.result().get("outcome"));
  }

  /** A NodeManager that restarts refuses connections for a while: the starts that it refuses are spread over minutes. */
  @Test
  void aNodeThatDoesNotAnswerIsTriedAgainLaterAndLater() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    long begun = bench.clock.now();
    for (int request = 1; request < ContainerStarts.MAX_REFUSALS; request++) {
      bench.grant(request).on(new Event.LaunchFailed(bench.clock.now(), ReducerHarness.yarn(request), "no route", true));
      if (request > 1) {
        assertEquals(ReducerHarness.list("Release container_" + request), bench.names());
        bench.tick(Math.min(ContainerStarts.LONGEST_REFUSAL_PAUSE, ContainerStarts.FIRST_REFUSAL_PAUSE << (request - 2)));
        assertEquals(ReducerHarness.list("Request " + (request + 1)), bench.names());
      } else {
        assertEquals(ReducerHarness.list("Release container_1", "Request 2"), bench.names());
      }
    }
    assertTrue(bench.clock.now() - begun > 120_000, "less than a NodeManager's restart may take");
    bench.grant(ContainerStarts.MAX_REFUSALS).launched(ContainerStarts.MAX_REFUSALS);
    assertTrue(bench.containers().contains("main_0/" + ContainerStarts.MAX_REFUSALS + " RUNNING"), bench.containers().toString());
  }

  @Test
  void shutdownEndsAllAndTellsTheGivenOutcome() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.completed(1, 0);
    bench.shutdown(Outcome.KILLED, "enough\nof this");
    assertEquals(ReducerHarness.list("Stop container_2", "Answer 200"), bench.names());
    assertEquals(ReducerHarness.list("Answer 200"), bench.shutdown(Outcome.FAILED, "again").names());
    bench.completed(2, 143);
    assertEquals("KILLED", bench.result().get("outcome"));
    assertEquals("enough of this", bench.result().get("diagnostics"));
    assertNull(bench.result().get("exitCode"));
    bench.on(new Event.ResultWritten(bench.clock.now(), null));
    assertEquals(Outcome.KILLED, bench.one(Action.Unregister.class).outcome);
  }

  @Test
  void theLifetimeIsKept() {
    ReducerHarness bench = new ReducerHarness(1, 10);
    assertEquals(bench.clock.now() + 10_000, bench.core.nextTick());
    assertEquals(ReducerHarness.list(), bench.tick(9_999).names());
    bench.tick(1);
    assertEquals("KILLED", bench.result().get("outcome"));
    assertEquals("ran for longer than its lifetime of 10 s", bench.result().get("diagnostics"));
  }

  @Test
  void aResultThatCannotBeWrittenIsSaidAndDoesNotHoldTheEnd() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.completed(1, 0);
    bench.on(new Event.ResultWritten(bench.clock.now(), "no NameNode"));
    assertEquals(" (result.json could not be written: no NameNode)".trim(), bench.one(Action.Unregister.class).diagnostics);
    ReducerHarness silent = ReducerHarness.running(1);
    silent.completed(1, 0);
    assertEquals(ReducerHarness.list(), silent.tick(Lifecycle.WRITE_TIMEOUT - 1).names());
    assertEquals(ReducerHarness.list("Unregister"), silent.tick(1).names());
    assertEquals(ReducerHarness.list(), silent.on(new Event.ResultWritten(silent.clock.now(), null)).names());
  }

  @Test
  void anOlderAttemptsContainersAreReleased() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    bench.registered(ReducerHarness.on(77, "a"), ReducerHarness.on(78, "b"));
    assertEquals(ReducerHarness.list("Release container_77", "Release container_78"), bench.names());
    assertEquals("RUNNING", bench.state());
  }

  @Test
  void terminationWritesAResultButDoesNotUnregister() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.on(new Event.Terminated(bench.clock.now()));
    assertEquals("KILLED", bench.result().get("outcome"));
    assertEquals(ReducerHarness.list(), bench.on(new Event.ResultWritten(bench.clock.now(), null)).names());
  }

  /** The process lives on for a moment, and the next attempt goes on: what this one accepted, that one would not know. */
  @Test
  void anAttemptThatIsEndedFromOutsideAcceptsNoCalls() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.on(new Event.Terminated(bench.clock.now()));
    assertEquals(503, bench.scale(3).one(Action.Answer.class).status);
    assertEquals(503, bench.kill("main_0").one(Action.Answer.class).status);
    assertEquals(503, bench.shutdown(Outcome.SUCCEEDED, "").one(Action.Answer.class).status);
    ReducerHarness disowned = ReducerHarness.running(1);
    disowned.on(new Event.Disowned(disowned.clock.now()));
    assertEquals(503, disowned.shutdown(Outcome.SUCCEEDED, "").one(Action.Answer.class).status);
  }

  @Test
  void anAttemptThatWasEndingAnywayAnswersAsBefore() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.shutdown(Outcome.KILLED, "enough");
    bench.on(new Event.Terminated(bench.clock.now()));
    assertEquals(409, bench.scale(3).one(Action.Answer.class).status);
    assertEquals(200, bench.shutdown(Outcome.KILLED, "").one(Action.Answer.class).status);
  }

  @Test
  void aDisownedAttemptLeavesWithoutAWord() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.on(new Event.Disowned(bench.clock.now()));
    assertEquals(1, bench.one(Action.Exit.class).code);
    assertEquals(Collections.singletonList("Exit"), bench.names());
  }

  @Test
  void aRequestThatCanNeverBeMetFailsTheApplication() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    bench.on(new Event.Refused(bench.clock.now(), "no such resource"));
    assertEquals("FAILED", bench.result().get("outcome"));
    assertNull(bench.result().get("exitCode"));
  }
}
