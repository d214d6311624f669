package knit.am.core;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
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
}
