package knit.am.core.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import knit.am.core.ReducerHarness;
import org.junit.jupiter.api.Test;

/** What is read from YARN's diagnostics, as NodeManagers write them. */
class ExitsTest {
  private static final String FAILED = "[2026-11-23 09:49:16.573]Exception from container-launch.\n"
      + "Container id: container_1795426651318_0003_01_000003\nExit code: 3\n\n"
      + "[2026-11-23 09:49:16.580]Container exited with a non-zero exit code 3. Error file: prelaunch.err.\n"
      + "Last 4096 bytes of prelaunch.err :\nLast 4096 bytes of stderr :\none\n\ntwo  \n\n\n"
      + "[2026-11-23 09:49:16.590]Container exited with a non-zero exit code 3. Error file: prelaunch.err.\n"
      + "Last 4096 bytes of prelaunch.err :\nLast 4096 bytes of stderr :\none\n\ntwo  \n\n\n";
  private static final String MEMORY = "[2026-11-23 10:11:53.215]Container [pid=1,containerID=container_1] is running "
      + "177537024B beyond the 'PHYSICAL' memory limit. Current usage: 297.3 MB of 128 MB physical memory used; "
      + "303.9 MB of 268.8 MB virtual memory used. Killing container.\nDump of the process-tree for container_1 :\n";

  @Test
  void theLastLinesOfStderrAreFoundOnce() {
    assertEquals(ReducerHarness.list("one", "two"), Exits.stderr(FAILED));
    assertEquals(ReducerHarness.list(), Exits.stderr("nothing of the kind"));
  }

  @Test
  void longOutputIsCut() {
    StringBuilder text = new StringBuilder("Last 4096 bytes of stderr :\n");
    for (int i = 0; i < 100; i++) {
      text.append("line ").append(i).append(new String(new char[600]).replace('\0', 'x')).append('\n');
    }
    assertEquals(40, Exits.stderr(text.toString()).size());
    ReducerHarness bench = ReducerHarness.running(1);
    bench.completed(1, 1, text.toString());
    String line = bench.result().get("diagnostics").toString();
    assertTrue(line.length() == 1000 && line.contains("| line 99x"), line);
  }

  @Test
  void aMemoryKillNamesLimitAndUse() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.clock.advance(41_000);
    bench.completed(1, -104, MEMORY);
    assertEquals("main_0 (container_1 on node07) was killed for memory: 297.3 MB used of 128 MB asked, after 41.0 s",
        bench.result().get("diagnostics"));
  }

  @Test
  void aVirtualMemoryKillNamesTheVirtualAmounts() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.completed(1, -103, MEMORY);
    assertTrue(bench.result().get("diagnostics").toString().contains("303.9 MB used of 268.8 MB virtual"));
  }

  @Test
  void aMemoryKillWithoutAmountsIsStillNamed() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.completed(1, -104, "something else");
    assertTrue(bench.result().get("diagnostics").toString().contains("was killed for memory, after"));
  }

  @Test
  void aStatusOfYarnsBringsItsFirstLine() {
    ReducerHarness bench = ReducerHarness.running(1);
    bench.completed(1, -1000, "[2026-11-23 10:11:53.215]File does not exist: hdfs://nn/x", "java.io.FileNotFound");
    assertTrue(bench.result().get("diagnostics").toString().contains(": File does not exist: hdfs://nn/x"));
  }

  @Test
  void controlCharactersDoNotGetIntoTheOneLine() {
    assertEquals("a b c", Exits.clip("a\r\nb\u0007c\n"));
  }
}
