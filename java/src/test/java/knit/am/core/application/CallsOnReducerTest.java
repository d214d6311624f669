package knit.am.core.application;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Collections;
import knit.am.core.ReducerHarness;
import knit.am.core.effects.Timeline;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.model.Outcome;
import knit.am.json.Json;
import org.junit.jupiter.api.Test;

/** Scaling, killing, progress and results: docs/protocol.md, section 5. */
class CallsOnReducerTest {
  @Test
  void scalingUpTakesTheLowestFreeRanks() {
    ReducerHarness bench = ReducerHarness.running(2);
    assertEquals(ReducerHarness.list("Answer 200", "Request 3", "Request 4"), bench.scale(4).names());
    assertEquals(Arrays.<Object>asList(4, 2, 2, 0, 0), bench.counts());
    bench.grant(3);
    assertEquals(4, bench.one(Action.Launch.class).instances);
    assertEquals(2, bench.one(Action.Launch.class).instance);
  }

  @Test
  void scalingDownTakesWaitingOnesThenTheHighestRanks() {
    ReducerHarness bench = ReducerHarness.running(3);
    bench.completed(1, -102);
    assertEquals(ReducerHarness.list("Answer 200", "Cancel 4", "Stop container_3"), bench.scale(1).names());
    assertEquals(Arrays.<Object>asList(1, 1, 0, 0, 0), bench.counts());
    assertEquals(ReducerHarness.list(), bench.completed(3, 143).names());
    bench.completed(2, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void scalingAwayAllButTheSucceededIsSuccess() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.completed(1, 0);
    bench.scale(1);
    assertEquals(ReducerHarness.list("Answer 200", "Stop container_2"), bench.names());
    bench.completed(2, 143);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void scaledToNothingItGoesOnUntilItIsScaledUpOrShutDown() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.scale(0);
    assertEquals(ReducerHarness.list(), bench.completed(1, 143).names());
    assertEquals("RUNNING", bench.state());
    assertEquals(ReducerHarness.list("Answer 200", "Request 2"), bench.scale(1).names());
    bench.grant(2);
    assertEquals("main_0", bench.one(Action.Launch.class).id());
    assertEquals(2, bench.one(Action.Launch.class).attempt);
    bench.scale(0);
    bench.shutdown(Outcome.SUCCEEDED, "");
    bench.completed(2, 143);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void aRankIsNotGivenAgainWhileItsOldContainerLives() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.kill("main_0");
    assertEquals(ReducerHarness.list("Answer 200"), bench.scale(2).names());
    assertEquals(ReducerHarness.list("Request 3"), bench.completed(1, 143).names());
    bench.grant(3);
    assertEquals("main_0", bench.one(Action.Launch.class).id());
  }

  @Test
  void anUnknownServiceIsNotScaled() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.on(new Call.Scale(bench.clock.now(), this, null, "nope", 2, false, null));
    assertEquals(404, bench.one(Action.Answer.class).status);
  }

  @Test
  void aKilledInstanceLeavesTheService() {
    ReducerHarness bench = ReducerHarness.running(2);
    assertEquals(ReducerHarness.list("Stop container_1", "Answer 200"), bench.kill("main_0").names());
    assertEquals("STOPPING", bench.one(Action.Answer.class).body.get("state"));
    assertEquals(ReducerHarness.list("Answer 200"), bench.kill("container_1").names());
    assertEquals(Arrays.<Object>asList(1, 1, 0, 0, 0), bench.counts());
    assertEquals(ReducerHarness.list(), bench.completed(1, 137).names());
    assertEquals(ReducerHarness.list("main_0/1 KILLED", "main_1/1 RUNNING"), bench.containers());
    assertEquals(409, bench.kill("main_0").one(Action.Answer.class).status);
    assertEquals(404, bench.kill("main_7").one(Action.Answer.class).status);
    bench.completed(2, 0);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void killingAWaitingInstanceTakesItsRequestBack() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    assertEquals(ReducerHarness.list("Cancel 1", "Answer 200"), bench.kill("main_0").names());
    assertEquals("KILLED", bench.one(Action.Answer.class).body.get("state"));
    assertEquals(ReducerHarness.list("Release container_1"), bench.grant(1).names());
  }

  @Test
  void killingTheLastUnfinishedInstanceIsSuccessOfTheOthers() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.completed(1, 0);
    bench.kill("main_1");
    bench.completed(2, 143);
    assertEquals("SUCCEEDED", bench.result().get("outcome"));
  }

  @Test
  void aKillOvertakingTheStartIsRepeated() {
    ReducerHarness bench = new ReducerHarness(1, 0);
    bench.grant(1).kill("main_0");
    assertEquals(ReducerHarness.list("Stop container_1"), bench.launched(1).names());
  }

  @Test
  void whatAKilledContainerExitsWithDoesNotMatter() {
    for (int exit : new int[] {0, 1, -100, -104}) {
      ReducerHarness bench = ReducerHarness.running(2);
      bench.kill("main_0");
      assertEquals(ReducerHarness.list(), bench.completed(1, exit).names());
      assertEquals(ReducerHarness.list("main_0/1 KILLED", "main_1/1 RUNNING"), bench.containers());
    }
  }

  @Test
  void nothingIsScaledOrKilledAtTheEnd() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.shutdown(Outcome.KILLED, "");
    assertEquals(409, bench.scale(3).one(Action.Answer.class).status);
    assertEquals(409, bench.kill("main_0").one(Action.Answer.class).status);
  }

  @Test
  void progressIsTheMeanUntilTheClientSetsIt() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.on(new Call.Progress(1, this, "container_1", 0.5, Collections.singletonMap("loss", 1L)));
    assertEquals(200, bench.one(Action.Answer.class).status);
    assertEquals(0.25, bench.core.progress());
    bench.completed(2, 0);
    assertEquals(0.75, bench.core.progress());
    bench.on(new Call.Progress(1, this, null, 0.9, Collections.emptyMap()));
    assertEquals(0.9, bench.core.progress());
    bench.on(new Call.Progress(1, this, "container_2", 0.5, Collections.emptyMap()));
    assertEquals(409, bench.one(Action.Answer.class).status);
  }

  @Test
  void valuesAreKeptPerInstanceAndBounded() {
    ReducerHarness bench = ReducerHarness.running(2);
    bench.on(new Call.Returned(1, this, "container_1", new Json.Raw("é")));
    bench.on(new Call.Returned(1, this, "container_1", new Json.Raw("later")));
    assertEquals("{\"results\":{\"main\":{\"0\":\"later\"}}}", Json.write(bench.views().results()));
    Json.Raw big = new Json.Raw(new String(new char[16 << 20]).replace('\0', 'x'));
    bench.on(new Call.Returned(1, this, "container_2", big));
    assertEquals(413, bench.one(Action.Answer.class).status);
    bench.completed(1, 0);
    bench.completed(2, 0);
    assertTrue(Json.write(bench.result()).contains("\"results\":{\"main\":{\"0\":\"later\"}}"));
  }

  @Test
  void keptHistoryIsBoundedAndKeepsTheEarliestLoss() {
    ReducerHarness bench = ReducerHarness.running(1);
    for (int request = 1; request <= 3000; request++) {
      bench.completed(request, -102).grant(request + 1).launched(request + 1);
    }
    assertEquals(ContainerRegistry.NEWEST_ENDED + 1, bench.containers().size());
    bench.completed(3001, 0);
    assertEquals(Timeline.LIMIT, ((java.util.List<?>) bench.result().get("timeline")).size());
    assertTrue(Json.write(bench.result()).contains("\"event\":\"started\""));
  }
}
