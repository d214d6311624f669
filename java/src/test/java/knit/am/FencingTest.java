package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Semaphore;
import java.util.function.IntUnaryOperator;
import knit.am.gateway.JournalFiles;
import org.junit.jupiter.api.Test;

/** Attempts that do not know of one another: whatever order their steps have, nothing that was acknowledged is lost. */
class FencingTest {
  /** The end of a process. */
  private static final class Crash extends Error {
    private static final long serialVersionUID = 1L;
  }

  /** An attempt of the ApplicationMaster, one step on HDFS at a time. */
  private static final class Attempt extends Thread {
    private final int number;
    private final Semaphore go = new Semaphore(0);
    private final Semaphore waits = new Semaphore(0);
    private final FakeHdfs hdfs;
    private final JournalFiles journals;
    private final Set<String> state = new LinkedHashSet<>();
    final Set<String> acknowledged = new LinkedHashSet<>();
    /** What it took over; null if it did not come so far. */
    Set<String> found;
    boolean superseded;
    volatile boolean crashed;
    volatile Throwable problem;
    volatile boolean over;
    private JournalFiles.Segment file;
    private int segment;

    Attempt(FakeHdfs hdfs, int number) {
      this.hdfs = hdfs;
      this.number = number;
      journals = new JournalFiles(hdfs.new Process() {
        @Override
        void step() {
          Attempt.this.pause();
        }
      }, number, 1_000);
      setDaemon(true);
    }

    private void pause() {
      if (Thread.currentThread() != this) {
        return; // before its life begins
      }
      waits.release();
      go.acquireUninterruptibly();
      if (crashed) {
        throw new Crash();
      }
    }

    /** Let it make its next step. */
    void advance() {
      go.release();
      waits.acquireUninterruptibly();
    }

    @Override
    public void run() {
      try {
        live();
      } catch (JournalFiles.Superseded error) {
        superseded = true;
      } catch (Crash error) {
        crashed = true;
      } catch (Throwable error) {
        problem = error;
      }
      over = true;
      waits.release();
    }

    private void live() throws IOException {
      if (number > 1) {
        takeOver();
        begin();
      }
      write(number + "a");
      begin(); // as when a file has grown long
      write(number + "b");
    }

    void takeOver() throws IOException {
      while (true) {
        Set<String> read = new LinkedHashSet<>();
        try {
          journals.takeOver(read::add);
          state.addAll(read);
          found = read;
          return;
        } catch (FileNotFoundException error) {
          continue;
        }
      }
    }

    void begin() throws IOException {
      StringBuilder text = new StringBuilder();
      state.forEach(line -> text.append(line).append('\n'));
      for (int trial = 0; ; trial++) {
        try {
          byte[] state = text.toString().getBytes(StandardCharsets.US_ASCII);
          file = journals.begin(++segment, out -> out.write(state));
          break;
        } catch (JournalFiles.Superseded error) {
          throw error;
        } catch (IOException error) {
          assertTrue(trial < 3, "a begin that fails again and again");
        }
      }
      acknowledged.addAll(state);
    }

    private void write(String line) throws IOException {
      state.add(line);
      try {
        file.append((line + "\n").getBytes(StandardCharsets.US_ASCII));
        acknowledged.add(line);
      } catch (JournalFiles.Superseded error) {
        throw error;
      } catch (IOException error) {
        begin();
      }
    }
  }

  /** A first attempt at work, and those after it at their beginning. */
  private static List<Attempt> attempts(FakeHdfs hdfs, int count) throws IOException {
    List<Attempt> attempts = new ArrayList<>();
    for (int number = 1; number <= count; number++) {
      attempts.add(new Attempt(hdfs, number));
    }
    attempts.get(0).state.add("first");
    attempts.get(0).begin();
    return attempts;
  }

  /** @param choose which of so many makes its next step */
  private static void interleave(FakeHdfs hdfs, List<Attempt> attempts, IntUnaryOperator choose) throws IOException {
    for (Attempt attempt : attempts) {
      attempt.start();
      attempt.waits.acquireUninterruptibly();
    }
    List<Attempt> alive = new ArrayList<>(attempts);
    alive.removeIf(attempt -> attempt.over);
    while (!alive.isEmpty()) {
      Attempt next = alive.get(choose.applyAsInt(alive.size()));
      next.advance();
      alive.removeIf(attempt -> attempt.over);
    }
    judge(hdfs, attempts);
  }

  private static void judge(FakeHdfs hdfs, List<Attempt> attempts) throws IOException {
    Attempt last = new Attempt(hdfs, attempts.size() + 1);
    last.takeOver();
    for (Attempt attempt : attempts) {
      assertEquals(null, attempt.problem, "attempt " + attempt.number);
      assertTrue(last.found.containsAll(attempt.acknowledged), attempt.acknowledged + " is not all in " + last.found);
      for (Attempt later : attempts) {
        if (later.number > attempt.number && later.found != null && !later.acknowledged.isEmpty()) {
          assertTrue(later.found.containsAll(attempt.acknowledged),
              attempt.acknowledged + " is not all in " + later.found + ", which attempt " + later.number + " took over");
        }
      }
      assertTrue(attempt.crashed || attempt.superseded || attempt.acknowledged.contains(attempt.number + "b"));
    }
  }

  @Test
  void everyInterleavingOfTwoAttempts() throws Exception {
    List<Integer> choices = new ArrayList<>();
    List<Integer> widths = new ArrayList<>();
    int orders = 0;
    boolean more = true;
    while (more) {
      FakeHdfs hdfs = new FakeHdfs();
      int[] at = {0};
      interleave(hdfs, attempts(hdfs, 2), width -> {
        if (at[0] == choices.size()) {
          choices.add(0);
          widths.add(width);
        }
        return choices.get(at[0]++);
      });
      orders++;
      while (!choices.isEmpty() && choices.get(choices.size() - 1) + 1 == widths.get(choices.size() - 1)) {
        choices.remove(choices.size() - 1);
        widths.remove(widths.size() - 1);
      }
      more = !choices.isEmpty();
      if (more) {
        choices.set(choices.size() - 1, choices.get(choices.size() - 1) + 1);
      }
    }
    assertTrue(orders > 500, orders + " orders");
  }

  @Test
  void manyInterleavingsOfFourAttemptsThatDie() throws Exception {
    for (int seed = 0; seed < 5_000; seed++) {
      Random random = new Random(seed);
      FakeHdfs hdfs = new FakeHdfs();
      List<Attempt> attempts = attempts(hdfs, 4);
      try {
        interleave(hdfs, attempts, width -> {
          if (random.nextInt(40) == 0) {
            attempts.get(random.nextInt(attempts.size())).crashed = true;
          }
          return random.nextInt(width);
        });
      } catch (AssertionError error) {
        throw new AssertionError("seed " + seed + ": " + error.getMessage(), error);
      }
    }
  }

  @Test
  void theOneThatGoesOnIsTheLatest() throws Exception {
    FakeHdfs hdfs = new FakeHdfs();
    List<Attempt> attempts = attempts(hdfs, 2);
    interleave(hdfs, attempts, width -> width - 1); // the second does all it has to do, then the first goes on
    assertTrue(attempts.get(0).superseded);
    assertFalse(attempts.get(1).superseded);
    assertEquals(Arrays.asList("first"), new ArrayList<>(attempts.get(0).acknowledged));
  }

  @Test
  void nothingIsReadOrDeletedBeforeTheLeaseIsRecovered() throws Exception {
    FakeHdfs hdfs = new FakeHdfs();
    attempts(hdfs, 1);
    hdfs.leasesAreStuck = true;
    JournalFiles second = new JournalFiles(hdfs.new Process(), 2, 1_000);
    IOException error = assertThrows(IOException.class, () -> second.takeOver(line -> {
      throw new AssertionError("was read");
    }));
    assertTrue(error.getMessage().contains("lease"), error.getMessage());
    assertEquals(Arrays.asList("attempt-000002", "journal-000001-000001"), hdfs.names());
  }

  @Test
  void anAttemptLeavesOneJournalOfItsOwn() throws Exception {
    FakeHdfs hdfs = new FakeHdfs();
    interleave(hdfs, attempts(hdfs, 2), width -> 0);
    assertEquals(Arrays.asList("attempt-000002", "attempt-000003", "journal-000002-000002"), hdfs.names());
  }
}
