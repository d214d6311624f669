package knit.am;

import java.io.ByteArrayInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import knit.am.gateway.JournalFiles;

/**
 * A folder on HDFS as {@link JournalFiles} needs it: names and files are two things, a flush on a deleted file succeeds, one on a
 * file whose lease was recovered fails, and the recovery takes a while in which the writer may still go on.
 */
final class FakeHdfs {
  private static final class File {
    final StringBuilder content = new StringBuilder();
    boolean recovering;
    boolean closed;
  }

  private final TreeMap<String, File> files = new TreeMap<>();
  /** So many flushes fail. */
  final AtomicInteger appendFaults = new AtomicInteger();
  /** So many lists and recoveries fail. */
  final AtomicInteger readFaults = new AtomicInteger();
  volatile boolean leasesAreStuck;
  volatile boolean erroneous;
  final List<String> deleted = new CopyOnWriteArrayList<>();

  synchronized List<String> names() {
    return new ArrayList<>(files.keySet());
  }

  synchronized String content(String name) {
    return files.get(name).content.toString();
  }

  /** What was not flushed to its end. */
  synchronized void truncate(String name, int length) {
    files.get(name).content.setLength(length);
  }

  /** Somebody else deletes a file. */
  synchronized void lose(String beginning) {
    files.keySet().removeIf(name -> name.startsWith(beginning));
  }

  private static void fail(AtomicInteger faults, String message) throws IOException {
    if (faults.getAndUpdate(left -> Math.max(0, left - 1)) > 0) {
      throw new IOException(message);
    }
  }

  private File file(String name) throws FileNotFoundException {
    File file = files.get(name);
    if (file == null) {
      throw new FileNotFoundException(name);
    }
    return file;
  }

  private static boolean isHidden(String name) {
    return name.startsWith(".");
  }

  /** What one process sees of it. */
  class Process implements JournalFiles.Folder {
    /** Before each step that others can see. */
    void step() {
    }

    @Override
    public List<String> list() throws IOException {
      step();
      fail(readFaults, "no NameNode");
      return names();
    }

    @Override
    public JournalFiles.Out create(String name) {
      if (!isHidden(name)) {
        step();
      }
      File file = new File();
      synchronized (FakeHdfs.this) {
        files.put(name, file);
      }
      return new JournalFiles.Out() {
        @Override
        public void append(byte[] bytes) throws IOException {
          if (!isHidden(name) || !names().contains(name)) {
            step();
          }
          fail(appendFaults, "no DataNode");
          if (erroneous) {
            throw new NoClassDefFoundError("DFSOutputStream");
          }
          synchronized (FakeHdfs.this) {
            if (file.closed) {
              throw new IOException("the lease was recovered");
            }
            file.content.append(new String(bytes, StandardCharsets.US_ASCII));
          }
        }

        @Override
        public void close() throws IOException {
          synchronized (FakeHdfs.this) {
            if (!files.containsValue(file)) {
              throw new FileNotFoundException(name);
            }
            file.closed = true;
          }
        }
      };
    }

    @Override
    public void rename(String from, String to) throws IOException {
      step();
      synchronized (FakeHdfs.this) {
        files.put(to, file(from));
        files.remove(from);
      }
    }

    @Override
    public void delete(String name) {
      step();
      synchronized (FakeHdfs.this) {
        if (files.remove(name) != null) {
          deleted.add(name);
        }
      }
    }

    @Override
    public boolean recover(String name) throws IOException {
      step();
      fail(readFaults, "no NameNode");
      synchronized (FakeHdfs.this) {
        File file = file(name);
        file.recovering = true;
        return file.closed;
      }
    }

    @Override
    public boolean isClosed(String name) throws IOException {
      step();
      fail(readFaults, "no NameNode");
      synchronized (FakeHdfs.this) {
        File file = file(name);
        file.closed |= file.recovering && !leasesAreStuck;
        return file.closed;
      }
    }

    @Override
    public InputStream open(String name) throws IOException {
      step();
      synchronized (FakeHdfs.this) {
        return new ByteArrayInputStream(file(name).content.toString().getBytes(StandardCharsets.US_ASCII));
      }
    }

    @Override
    public void pause(long milliseconds) {
    }
  }
}
