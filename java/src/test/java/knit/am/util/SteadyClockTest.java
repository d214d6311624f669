package knit.am.util;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
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

  /** Alarms, times of events and the validity of signatures: whoever sets the machine's clock moves none of them. */
  @Test
  void nothingElseReadsTheMachinesClock() throws IOException {
    List<String> readers = new ArrayList<>();
    try (Stream<Path> files = Files.walk(Paths.get("src/main/java"))) {
      for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile).sorted()::iterator) {
        String text = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        if (text.contains("currentTimeMillis") || text.contains("Instant.now") || text.contains("new Date(")) {
          readers.add(file.getFileName().toString());
        }
      }
    }
    assertEquals(Arrays.asList("Log.java", "SteadyClock.java"), readers); // the log shows the time since the start
  }
}
