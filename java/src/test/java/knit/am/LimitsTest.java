package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An application at its limits fits into the heap that the client gives its ApplicationMaster (docs/configuration.md). */
class LimitsTest {
  /** MiB of heap that Hadoop's clients and calls under way need, which are not there. */
  private static final int CLIENTS = 24;

  @TempDir
  Path folder;

  @Test
  void storeAndResultsAtTheirLimitsFitIntoTheSmallestHeap() throws Exception {
    assertFits(1_000, 124 - CLIENTS);
  }

  @Test
  void manyInstancesFitBesideThem() throws Exception {
    assertFits(20_000, 124 + 20_000 * 4 / 1024 - CLIENTS);
  }

  private void assertFits(int instances, int heap) throws Exception {
    File said = folder.resolve("out").toFile();
    String classes = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    // Java 8, on which clusters may run, keeps two bytes for each character.
    Process process = new ProcessBuilder(System.getProperty("java.home") + "/bin/java", "-Xmx" + heap + "m", "-Xmn4m",
        "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-CompactStrings", "-XX:+ExitOnOutOfMemoryError", "-cp", classes,
        FullStore.class.getName(), Integer.toString(instances), folder.toString())
        .redirectErrorStream(true).redirectOutput(said).start();
    assertTrue(process.waitFor(200, TimeUnit.SECONDS), "not within 200 s");
    String text = new String(Files.readAllBytes(said.toPath()), StandardCharsets.UTF_8);
    assertEquals(0, process.exitValue(), text);
    assertTrue(text.contains("too-large: the results of all instances together are over 16777216 bytes"), text);
    assertTrue(text.contains("too-large: the store would hold more than 16777216 bytes"), text);
    assertTrue(Files.size(folder.resolve("result.json")) > 16_000_000);
    assertTrue(Files.size(folder.resolve("journal")) > 32_000_000);
  }
}
