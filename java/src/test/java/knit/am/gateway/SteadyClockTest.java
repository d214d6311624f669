package knit.am.gateway;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class SteadyClockTest {
  @Test
  void settingTheMachinesClockMovesNothing() {
    long[] times = {1_700_000_000_000L, -5_000_000_000L};
    SteadyClock clock = new SteadyClock(() -> times[0], () -> times[1]);
    assertEquals(1_700_000_000_000L, clock.now());
    times[0] -= 3_600_000;
    times[1] += 2_000_000_000L;
    assertEquals(1_700_000_002_000L, clock.now());
  }
}
