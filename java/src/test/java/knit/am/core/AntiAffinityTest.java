package knit.am.core;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import knit.am.Specs;
import org.junit.jupiter.api.Test;

/** Anti-affinity while the cluster's nodes cannot be had. */
class AntiAffinityTest {
  @Test
  void nodesThatCannotBeHadAreAskedForAgain() {
    Bench bench = new Bench(Specs.of("[\"main\"]", new String[] {Specs.service("main", 2, "spread", "true")})).registered();
    List<Event.Nodes> answers = Arrays.asList(new Event.Nodes(bench.clock.now(), "no connection"),
        new Event.Nodes(bench.clock.now(), "still none"), new Event.Nodes(bench.clock.now(), Collections.emptyList()));
    for (Event.Nodes answer : answers) {
      bench.on(new Event.Nodes(bench.clock.now(), answer.problem));
      assertEquals(Bench.list(), bench.names());
      assertEquals("RUNNING", bench.application().get("state"));
      assertEquals(Bench.list(), bench.tick(AntiAffinity.ASK_AGAIN - 1).names());
      assertEquals(Bench.list("AskNodes"), bench.tick(1).names());
      assertEquals(Bench.list(), bench.tick(AntiAffinity.ASK_AGAIN).names()); // not while there is no answer
    }
    assertEquals(1, told(bench));
    bench.on(new Event.Nodes(bench.clock.now(), Arrays.asList("a", "b")));
    assertEquals(Bench.list("Request 1 on a", "Request 2 on b"), bench.names());
    // A later fault changes nothing of what is known.
    bench.granted(Bench.on(1, "a")).granted(Bench.on(2, "b")).launched(1).launched(2);
    bench.on(new Event.Nodes(bench.clock.now(), "no connection")).completed(1, -100);
    assertEquals(Bench.list("Request 3 on a"), bench.names());
    assertEquals(2, told(bench));
  }

  /** How often an event has said that the nodes cannot be had. */
  private static long told(Bench bench) {
    return bench.journal.values().stream().filter(record -> String.valueOf(record).contains("event=nodes-unknown")).count();
  }
}
