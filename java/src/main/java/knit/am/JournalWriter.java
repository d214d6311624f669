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
 * Writes the changes of the state to the journal, on a thread of its own and in batches, and then runs what waits for them. After a
 * fault, and when the file has grown long, it asks for the whole state and begins a new file with it. While a later attempt may
 * have begun, it checks for one before it reports changes as written; once there is one, it reports nothing more.
 */
final class JournalWriter implements Runnable {
  /** A file is renewed when it has more bytes than this and so many times the bytes of the state. */
  private static final int LONG = 8 << 20;
  private static final int TIMES_STATE = 8;
  private static final long LONGEST_PAUSE = 5_000;
  /** Milliseconds between two checks for a later attempt while nothing is written. */
  private static final long CHECK_INTERVAL = 1_000;

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

  private final ApplicationFolder folder;
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
   * @param askForState makes the owner thread call {@link #begin} with the whole state
   * @param doubtful whether a later attempt may have begun
   * @param superseded runs once, when a later attempt has begun
   */
  JournalWriter(ApplicationFolder folder, Runnable askForState, BooleanSupplier doubtful, Runnable superseded) {
    this.folder = folder;
    this.askForState = askForState;
    this.doubtful = doubtful;
    this.superseded = superseded;
  }

  /** The last record under each key of the earlier attempt's journal; null if there is no journal. */
  static Map<String, Object> read(ApplicationFolder folder) throws IOException {
    Map<String, Object> records = new LinkedHashMap<>();
    boolean there = folder.readJournal(line -> {
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
   * Whether a next attempt would certainly read all changes so far. To be called by the thread that calls {@link #write} and
   * {@link #begin}.
   */
  boolean isDurable() {
    return unwritten.get() == 0 && !doubtful.getAsBoolean();
  }

  /** Write changes, then run `after`. */
  void write(Map<String, Object> changes, Runnable after) {
    add(new Work(changes, false, after));
  }

  /** Begin a new file with the whole state. */
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
        Work next = queue.poll(CHECK_INTERVAL, TimeUnit.MILLISECONDS);
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
    // The newest whole state contains all changes before it.
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
        return; // the state that was asked for will contain these changes
      } else {
        append(works);
      }
      if (!whole && doubtful.getAsBoolean()) {
        file.check();
      }
    } catch (JournalFiles.Superseded error) {
      throw error;
    } catch (IOException | RuntimeException error) {
      Log.line("the journal cannot be written, a new file is begun in " + pause + " ms: " + Log.reason(error));
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
    file = null; // the earlier file cannot be used again: a failed begin may have created a newer one
    long[] size = new long[1];
    file = folder.beginJournal(++segment, out -> size[0] = write(works, out));
    written = size[0];
    limit = Math.max(LONG, TIMES_STATE * written);
  }

  /**
   * Write records. Changes that belong together are one line, so that a next attempt reads all or none of them.
   *
   * @return how many bytes
   */
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
