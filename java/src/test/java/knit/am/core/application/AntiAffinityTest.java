package knit.am.core.application;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import knit.am.Specs;
import knit.am.core.ReducerHarness;
import knit.am.core.message.Event;
import org.junit.jupiter.api.Test;

/** Anti-affinity while the cluster's nodes cannot be had. */
class AntiAffinityTest {
  @Test
  void nodesThatCannotBeHadAreAskedForAgain() {
    ReducerHarness bench = new ReducerHarness(
        Specs.of("[\"main\"]", new String[] {Specs.service("main", 2, "spread", "true")})).registered();
    List<Event.Nodes> answers = Arrays.asList(new Event.Nodes(bench.clock.now(), "no connection"),
        new Event.Nodes(bench.clock.now(), "still none"), new Event.Nodes(bench.clock.now(), Collections.emptyList()));
    for (Event.Nodes answer : answers) {
      bench.on(new Event.Nodes(bench.clock.now(), answer.problem));
      assertEquals(ReducerHarness.list(), bench.names());
      assertEquals("RUNNING", bench.application().get("state"));
      assertEquals(ReducerHarness.list(), bench.tick(AntiAffinity.ASK_AGAIN - 1).names());
      assertEquals(ReducerHarness.list("AskNodes"), bench.tick(1).names());
      assertEquals(ReducerHarness.list(), bench.tick(AntiAffinity.ASK_AGAIN).names()); // not while there is no answer
    }
    assertEquals(1, told(bench));
    bench.on(new Event.Nodes(bench.clock.now(), Arrays.asList("a", "b")));
    assertEquals(ReducerHarness.list("Request 1 on a", "Request 2 on b"), bench.names());
    // A later fault changes nothing of what is known.
    bench.granted(ReducerHarness.on(1, "a")).granted(ReducerHarness.on(2, "b")).launched(1).launched(2);
    bench.on(new Event.Nodes(bench.clock.now(), "no connection")).completed(1, -100);
    assertEquals(ReducerHarness.list("Request 3 on a"), bench.names());
    assertEquals(2, told(bench));
  }

  /** How often an event has said that the nodes cannot be had. */
  private static long told(ReducerHarness bench) {
    return bench.journal.values().stream().filter(record -> String.valueOf(record).contains("event=nodes-unknown")).count();
  }
}
