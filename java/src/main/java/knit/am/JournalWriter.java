package knit.am;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import knit.am.core.effects.RecordKind;
import knit.am.gateway.ApplicationFolder;
import knit.am.gateway.JournalFiles;
import knit.am.json.Json;
import knit.am.util.Log;

/**
 * Writes the state's changes down on a thread of its own, many at once when many come, and runs what waits for that. After a
 * fault, and when the file has grown long, it asks for the whole state and begins a new file with it. While another attempt
 * may have begun, it looks whether one has before it says that something is written; once one has, nothing is said any more.
 */
final class JournalWriter implements Runnable {
  private static final int LONG = 8 << 20;
  private static final int LONGER_THAN_STATE = 8;
  private static final long LONGEST_PAUSE = 5_000;
  /** Milliseconds between two looks for a later attempt while nothing is written. */
  private static final long LOOK = 1_000;

  private static final class Work {
    final Map<String, Object> records;
    /** Whether the records are the whole state. */
    final boolean whole;
    final Runnable after;

    Work(Map<String, Object> records, boolean whole, Runnable after) {
      this.records = records;
      this.whole = whole;
      this.after = after;
    }
  }

  private final ApplicationFolder store;
  private final Runnable askForState;
  private final BooleanSupplier doubtful;
  private final Runnable superseded;
  private final AtomicInteger unwritten = new AtomicInteger();
  private final LinkedBlockingQueue<Work> queue = new LinkedBlockingQueue<>();
  private final List<Runnable> pending = new ArrayList<>();
  private ApplicationFolder.JournalFile file;
  private int segment;
  private long written;
  private long limit;
  private boolean asked;
  private long pause = 100;

  /**
   * @param askForState has {@link #begin} called with the whole state soon
   * @param doubtful whether a later attempt may have begun
   * @param superseded is run once when one has
   */
  JournalWriter(ApplicationFolder store, Runnable askForState, BooleanSupplier doubtful, Runnable superseded) {
    this.store = store;
    this.askForState = askForState;
    this.doubtful = doubtful;
    this.superseded = superseded;
  }

  /** What an earlier attempt wrote: the last record under each key; null if there is no journal. */
  static Map<String, Object> read(ApplicationFolder store) throws IOException {
    Map<String, Object> records = new LinkedHashMap<>();
    boolean there = store.readJournal(line -> {
      Json.parseRecords(line.getBytes(StandardCharsets.US_ASCII), RecordKind::isText, (key, record) -> {
        records.remove(key);
        if (record != null) {
          records.put(key, record);
        }
      });
    });
    return there ? records : null;
  }

  /**
   * Whether all that was given to be written is, without a doubt, what a next attempt would read. For the one thread that
   * calls {@link #write} and {@link #begin}.
   */
  boolean isDurable() {
    return unwritten.get() == 0 && !doubtful.getAsBoolean();
  }

  /** Write changes, then run something. */
  void write(Map<String, Object> changes, Runnable after) {
    add(new Work(changes, false, after));
  }

  /** Begin a file with the whole state. */
  void begin(Map<String, Object> state) {
    add(new Work(state, true, () -> { }));
  }

  private void add(Work work) {
    unwritten.incrementAndGet();
    queue.add(work);
  }

  @Override
  public void run() {
    try {
      while (true) {
        List<Work> batch = new ArrayList<>();
        Work next = queue.poll(LOOK, TimeUnit.MILLISECONDS);
        if (next != null) {
          batch.add(next);
          queue.drainTo(batch);
          take(batch);
        } else if (doubtful.getAsBoolean()) {
          take(batch);
        }
      }
    } catch (JournalFiles.Superseded error) {
      Log.line(Log.reason(error));
      superseded.run();
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  private void take(List<Work> batch) throws InterruptedException, JournalFiles.Superseded {
    // The newest whole state makes all before it needless.
    int from = 0;
    for (int i = 0; i < batch.size(); i++) {
      from = batch.get(i).whole ? i : from;
    }
    for (Work work : batch) {
      pending.add(work.after);
    }
    boolean whole = !batch.isEmpty() && batch.get(from).whole;
    asked &= !whole;
    try {
      List<Work> works = batch.subList(from, batch.size());
      if (whole) {
        change(works);
      } else if (file == null) {
        return; // the state that was asked for will bring these changes, too
      } else {
        append(works);
      }
      if (!whole && doubtful.getAsBoolean()) {
        file.check();
      }
    } catch (JournalFiles.Superseded error) {
      throw error;
    } catch (IOException | RuntimeException error) {
      Log.line("the journal cannot be written, begun anew in " + pause + " ms: " + Log.reason(error));
      file = null;
      Thread.sleep(pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
      ask();
      return;
    }
    pause = 100;
    List<Runnable> done = new ArrayList<>(pending);
    pending.clear();
    unwritten.addAndGet(-done.size());
    done.forEach(Runnable::run);
    if (written > limit) {
      ask();
    }
  }

  private void ask() {
    if (!asked) {
      asked = true;
      askForState.run();
    }
  }

  private void append(List<Work> works) throws IOException {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    write(works, text);
    if (text.size() > 0) {
      file.append(text.toByteArray());
      written += text.size();
    }
  }

  private void change(List<Work> works) throws IOException {
    file = null; // none to go back to: a begin that failed may have made a newer one
    long[] size = new long[1];
    file = store.beginJournal(++segment, out -> size[0] = write(works, out));
    written = size[0];
    limit = Math.max(LONG, LONGER_THAN_STATE * written);
  }

  /** Write records down; how many bytes. Changes that belong together are one line: a next attempt finds all or none. */
  private static long write(List<Work> works, OutputStream out) throws IOException {
    long size = 0;
    for (Work work : works) {
      List<Object> pairs = new ArrayList<>();
      for (Map.Entry<String, Object> entry : work.records.entrySet()) {
        pairs.add(entry.getKey());
        pairs.add(entry.getValue());
        if (work.whole) {
          size += line(out, pairs);
        }
      }
      if (!pairs.isEmpty()) {
        size += line(out, pairs);
      }
    }
    return size;
  }

  private static long line(OutputStream out, List<Object> pairs) throws IOException {
    byte[] line = (Json.write(pairs) + "\n").getBytes(StandardCharsets.US_ASCII);
    out.write(line);
    pairs.clear();
    return line.length;
  }
}
