package knit.am;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import knit.am.gateway.Store;
import knit.am.json.Json;

/** Files in memory; the first writes can fail, and a journal can be taken away from its writer. */
final class FakeStore implements Store {
  final Map<String, String> files = new ConcurrentHashMap<>();
  volatile int faults;
  volatile int journalFaults;
  volatile boolean erroneous;
  volatile int begun;
  private StringBuilder journal;
  private int fence;

  @Override
  public synchronized void replace(String name, byte[] content) throws IOException {
    if (faults > 0) {
      faults--;
      throw new IOException("no NameNode");
    }
    files.put(name, new String(content, StandardCharsets.UTF_8));
  }

  @Override
  public synchronized boolean readJournal(Consumer<String> lines) throws IOException {
    fence++;
    if (journal == null) {
      return false;
    }
    for (String line : journal.toString().split("\n")) {
      lines.accept(line);
    }
    return true;
  }

  @Override
  public synchronized JournalFile beginJournal(int segment, byte[] first) throws IOException {
    fail();
    journal = new StringBuilder(new String(first, StandardCharsets.US_ASCII));
    StringBuilder own = journal;
    int mine = fence;
    begun++;
    return new JournalFile() {
      @Override
      public void append(byte[] text) throws IOException {
        synchronized (FakeStore.this) {
          fail();
          if (mine != fence) {
            throw new IOException("another attempt has taken the journal over");
          }
          own.append(new String(text, StandardCharsets.US_ASCII));
        }
      }

      @Override
      public void close() {
        // Nothing is held.
      }
    };
  }

  private void fail() throws IOException {
    if (erroneous) {
      throw new NoClassDefFoundError("DFSOutputStream");
    }
    if (journalFaults > 0) {
      journalFaults--;
      throw new IOException("no DataNode");
    }
  }

  Map<?, ?> json(String name) {
    return (Map<?, ?>) Json.parse(files.get(name).getBytes(StandardCharsets.UTF_8));
  }
}
