package knit.am.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Map;
import knit.am.Specs;
import org.junit.jupiter.api.Test;

class SimulationTest {
  @Test
  void tenThousandContainersOneInAHundredFailing() {
    Map<String, Object> result = new Simulation(10_000, 100).run();
    assertEquals("SUCCEEDED", result.get("outcome"));
    Map<?, ?> main = (Map<?, ?>) ((Map<?, ?>) result.get("services")).get("main");
    assertEquals(10_000, main.get("succeeded"));
    int restarts = (Integer) main.get("restarts");
    assertTrue(restarts > 50 && restarts < 200, "restarts: " + restarts);
  }

  /** Ten instances that are restarted always. */
  @Test
  void nothingGrowsWithTheContainersThatThereEverWere() {
    ReducerHarness bench = new ReducerHarness(Specs.of(Specs.service("main", 10, "restart",
        "{\"policy\":\"always\",\"limit\":-1,\"window\":0,\"firstDelay\":0,\"longestDelay\":0}"))).registered();
    long[] used = new long[2];
    int[] records = new int[2];
    long request = 0;
    for (int half = 0; half < 2; half++) {
      for (int i = 0; i < 50_000; i++) {
        bench.grant(++request).launched(request).completed(request, (int) (request % 3));
        bench.clock.advance(100);
      }
      records[half] = bench.core.dump().size();
      used[half] = Simulation.used();
    }
    assertEquals(records[0], records[1]);
    assertEquals(records[1], bench.journal.size());
    assertTrue(used[1] - used[0] < 1 << 20, "bytes after 50,000 and after 100,000: " + Arrays.toString(used));
  }
}
