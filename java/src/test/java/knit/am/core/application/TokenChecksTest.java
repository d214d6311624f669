package knit.am.core.application;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import knit.am.Specs;
import knit.am.core.ReducerHarness;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import org.junit.jupiter.api.Test;

/** When newer delegation tokens are looked for: docs/protocol.md, section 9. */
class TokenChecksTest {
  private static ReducerHarness secure() {
    return new ReducerHarness(Specs.secure(1)).registered();
  }

  private static ReducerHarness read(ReducerHarness bench, int newer, String problem) {
    return bench.on(new Event.TokensRead(bench.clock.now(), newer, problem));
  }

  private static List<String> events(ReducerHarness bench) {
    List<String> events = new ArrayList<>();
    bench.views().events(0, 100).forEach((name, value) -> events.add(value.toString()));
    return events;
  }

  @Test
  void theyAreLookedForAtTheStartAndAgainEachFiveMinutes() {
    ReducerHarness bench = secure();
    assertNull(bench.one(Action.Tokens.class).ticket);
    assertTrue(bench.one(Action.Tokens.class).renew);
    // The next look is after the end of this one: HDFS may take long to answer.
    assertEquals(ReducerHarness.list(), bench.tick(10 * TokenChecks.INTERVAL).names());
    read(bench, 0, null);
    assertEquals(ReducerHarness.list(), bench.tick(TokenChecks.INTERVAL - 1).names());
    assertEquals(ReducerHarness.list("Tokens"), bench.tick(1).names());
    read(bench, 0, "no NameNode");
    assertEquals(ReducerHarness.list("Tokens"), bench.tick(TokenChecks.INTERVAL).names());
  }

  @Test
  void theEventsTellOfNewerOnesAndOnceOfEachProblem() {
    ReducerHarness bench = secure();
    read(bench, 0, null);
    assertFalse(events(bench).toString().contains("tokens-"));
    read(bench, 2, null);
    assertTrue(events(bench).toString().contains("2 newer delegation tokens"));
    for (int i = 0; i < 3; i++) {
      read(bench, 0, "it is truncated");
    }
    assertEquals(2, events(bench).toString().split("tokens-refused", -1).length);
  }

  @Test
  void aCallLooksAtOnceAndWorksWhileTheApplicationEnds() {
    ReducerHarness bench = secure();
    bench.on(new Call.Tokens(bench.clock.now(), this, true));
    assertEquals(this, bench.one(Action.Tokens.class).ticket);
    assertTrue(bench.one(Action.Tokens.class).renew);
    bench.shutdown(knit.am.core.model.Outcome.KILLED, "");
    bench.on(new Call.Tokens(bench.clock.now(), this, false));
    assertFalse(bench.one(Action.Tokens.class).renew);
  }

  @Test
  void underSimpleAuthenticationThereAreNone() {
    ReducerHarness bench = new ReducerHarness(1, 0).registered();
    assertEquals(ReducerHarness.list(), bench.names());
    assertEquals(ReducerHarness.list(), bench.tick(10 * TokenChecks.INTERVAL).names());
    bench.on(new Call.Tokens(bench.clock.now(), this, true));
    assertEquals(409, bench.one(Action.Answer.class).status);
  }
}
