package knit.am;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import knit.am.gateway.Store;
import knit.am.json.Json;

/**
 * Writes the state's changes down on a thread of its own, many at once when many come, and runs what waits for that. After a
 * fault, and when the file has grown long, it asks for the whole state and begins a new file with it.
 */
final class Journal implements Runnable {
  private static final int LONG = 8 << 20;
  private static final int LONGER_THAN_STATE = 8;
  private static final long LONGEST_PAUSE = 5_000;

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

  private final Store store;
  private final Runnable askForState;
  private final LinkedBlockingQueue<Work> queue = new LinkedBlockingQueue<>();
  private final List<Runnable> pending = new ArrayList<>();
  private Store.JournalFile file;
  private int segment;
  private long written;
  private long limit;
  private boolean asked;
  private long pause = 100;

  /** @param askForState has {@link #begin} called with the whole state soon */
  Journal(Store store, Runnable askForState) {
    this.store = store;
    this.askForState = askForState;
  }

  /** What an earlier attempt wrote: the last record under each key; null if there is no journal. */
  static Map<String, Object> read(Store store) throws IOException {
    Map<String, Object> records = new LinkedHashMap<>();
    boolean there = store.readJournal(line -> {
      List<?> pair = (List<?>) Json.parse(line.getBytes(StandardCharsets.US_ASCII));
      String key = (String) pair.get(0);
      records.remove(key);
      if (pair.get(1) != null) {
        records.put(key, pair.get(1));
      }
    });
    return there ? records : null;
  }

  /** Write changes, then run something. */
  void write(Map<String, Object> changes, Runnable after) {
    queue.add(new Work(changes, false, after));
  }

  /** Begin a file with the whole state. */
  void begin(Map<String, Object> state) {
    queue.add(new Work(state, true, () -> { }));
  }

  @Override
  public void run() {
    try {
      while (true) {
        List<Work> batch = new ArrayList<>();
        batch.add(queue.take());
        queue.drainTo(batch);
        take(batch);
      }
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  private void take(List<Work> batch) throws InterruptedException {
    // The newest whole state makes all before it needless.
    int from = 0;
    for (int i = 0; i < batch.size(); i++) {
      from = batch.get(i).whole ? i : from;
    }
    for (Work work : batch) {
      pending.add(work.after);
    }
    boolean whole = batch.get(from).whole;
    asked &= !whole;
    try {
      byte[] text = text(batch.subList(from, batch.size()));
      if (whole) {
        change(text);
      } else if (file == null) {
        return; // the state that was asked for will bring these changes, too
      } else if (text.length > 0) {
        file.append(text);
        written += text.length;
      }
    } catch (IOException | RuntimeException error) {
      Log.say("the journal cannot be written, begun anew in " + pause + " ms: " + Log.reason(error));
      file = null;
      Thread.sleep(pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE);
      ask();
      return;
    }
    pause = 100;
    List<Runnable> done = new ArrayList<>(pending);
    pending.clear();
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

  private void change(byte[] state) throws IOException {
    Store.JournalFile before = file;
    file = store.beginJournal(++segment, state);
    written = state.length;
    limit = Math.max(LONG, (long) LONGER_THAN_STATE * state.length);
    if (before != null) {
      before.close();
    }
  }

  private static byte[] text(List<Work> works) throws IOException {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    for (Work work : works) {
      for (Map.Entry<String, Object> entry : work.records.entrySet()) {
        text.write(Json.write(Arrays.asList(entry.getKey(), entry.getValue())).getBytes(StandardCharsets.US_ASCII));
        text.write('\n');
      }
    }
    return text.toByteArray();
  }
}
