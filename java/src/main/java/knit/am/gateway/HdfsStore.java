package knit.am.gateway;

import java.io.BufferedReader;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Consumer;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Options;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DistributedFileSystem;

/** The application's folder on HDFS (or another Hadoop file system). Connects at its first use. */
public final class HdfsStore implements Store {
  private static final String JOURNAL = "journal-";
  /** Milliseconds for HDFS to close the file of a dead writer. */
  private static final long LEASE_PATIENCE = 30_000;

  private final Configuration configuration;
  private final Path folder;
  private final int attempt;

  /**
   * @param attempt makes names this attempt's own
   */
  public HdfsStore(Configuration configuration, String staging, String application, int attempt) {
    this.configuration = configuration;
    this.folder = new Path(new Path(staging, "apps"), application);
    this.attempt = attempt;
  }

  private FileSystem files() throws IOException {
    FileSystem files = folder.getFileSystem(configuration);
    if (!files.exists(folder)) {
      files.mkdirs(folder, new FsPermission((short) 0700));
    }
    return files;
  }

  @Override
  public void replace(String name, byte[] content) throws IOException {
    FileSystem files = files();
    Path temporary = new Path(folder, "." + name + "." + attempt);
    try (OutputStream out = files.create(temporary, true)) {
      out.write(content);
    }
    rename(files, temporary, new Path(folder, name));
  }

  private static void rename(FileSystem files, Path from, Path to) throws IOException {
    if (files instanceof DistributedFileSystem) {
      ((DistributedFileSystem) files).rename(from, to, Options.Rename.OVERWRITE);
      return;
    }
    files.delete(to, false);
    if (!files.rename(from, to)) {
      throw new IOException("could not rename " + from + " to " + to);
    }
  }

  @Override
  public boolean readJournal(Consumer<String> lines) throws IOException {
    FileSystem files = files();
    List<Path> journals = journals(files);
    if (journals.isEmpty()) {
      return false;
    }
    Path newest = journals.get(journals.size() - 1);
    fence(files, newest);
    try (BufferedReader reader = new BufferedReader(new InputStreamReader(files.open(newest), StandardCharsets.US_ASCII))) {
      StringBuilder line = new StringBuilder();
      for (int next = reader.read(); next >= 0; next = reader.read()) {
        if (next == '\n') {
          lines.accept(line.toString());
          line.setLength(0);
        } else {
          line.append((char) next);
        }
      }
      // What follows the last newline was not written to its end, and nobody was told that it was.
    }
    return true;
  }

  private List<Path> journals(FileSystem files) throws IOException {
    List<Path> found = new ArrayList<>();
    try {
      for (FileStatus status : files.listStatus(folder, path -> path.getName().startsWith(JOURNAL))) {
        found.add(status.getPath());
      }
    } catch (FileNotFoundException none) {
      return found;
    }
    Collections.sort(found);
    return found;
  }

  /** Take the file away from whoever still writes it. */
  private static void fence(FileSystem files, Path journal) throws IOException {
    if (!(files instanceof DistributedFileSystem)) {
      return;
    }
    DistributedFileSystem hdfs = (DistributedFileSystem) files;
    long end = System.nanoTime() + LEASE_PATIENCE * 1_000_000;
    boolean closed = hdfs.recoverLease(journal);
    while (!closed && System.nanoTime() < end) {
      try {
        Thread.sleep(50);
      } catch (InterruptedException error) {
        throw new IOException(error);
      }
      closed = hdfs.isFileClosed(journal);
    }
  }

  @Override
  public JournalFile beginJournal(int segment, byte[] first) throws IOException {
    FileSystem files = files();
    List<Path> before = journals(files);
    String name = String.format("%s%06d-%06d", JOURNAL, attempt, segment);
    Path temporary = new Path(folder, "." + name);
    FSDataOutputStream out = files.create(temporary, true);
    try {
      out.write(first);
      out.hflush();
      rename(files, temporary, new Path(folder, name)); // its writer may go on: HDFS knows files, not names
    } catch (IOException | RuntimeException error) {
      abort(out);
      throw error;
    }
    for (Path old : before) {
      if (!old.getName().equals(name)) {
        files.delete(old, false);
      }
    }
    return new JournalFile() {
      @Override
      public void append(byte[] lines) throws IOException {
        out.write(lines);
        out.hflush();
      }

      @Override
      public void close() throws IOException {
        out.close();
      }
    };
  }

  private static void abort(FSDataOutputStream out) {
    try {
      out.close();
    } catch (IOException error) {
      // It has failed already; what it left has a temporary name.
      return;
    }
  }
}
