package knit.am.gateway;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.StampedLock;
import java.util.function.Consumer;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Options;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DistributedFileSystem;

/** The application's folder on HDFS or another Hadoop file system. It connects at its first use. */
public final class HdfsApplicationFolder implements ApplicationFolder {
  /** Milliseconds for HDFS to close the file of a dead writer. */
  private static final long LEASE_LIMIT = 60_000;

  private final Configuration configuration;
  private final Path folder;
  private final int attempt;
  private final JournalFiles journals;
  /** Read-locked while a file has a temporary name; write-locked by {@link #close}. */
  private final StampedLock writing = new StampedLock();

  /**
   * @param attempt part of the names of temporary files and journals
   */
  public HdfsApplicationFolder(Configuration configuration, String staging, String application, int attempt) {
    this.configuration = configuration;
    this.folder = new Path(new Path(staging, "apps"), application);
    this.attempt = attempt;
    journals = new JournalFiles(new Steps(), attempt, LEASE_LIMIT);
  }

  private FileSystem files() throws IOException {
    FileSystem files = folder.getFileSystem(configuration);
    if (!files.exists(folder)) {
      files.mkdirs(folder, new FsPermission((short) 0700));
    }
    return files;
  }

  /**
   * Wait for files that are being written, and begin no others. Without this, a process that ends leaves temporary files.
   *
   * @param limit milliseconds to wait
   * @return whether no file is being written
   */
  public boolean close(long limit) throws InterruptedException {
    return writing.tryWriteLock(limit, TimeUnit.MILLISECONDS) != 0;
  }

  private interface Writing<T> {
    T run() throws IOException;
  }

  private <T> T whileOpen(Writing<T> action) throws IOException {
    long stamp = writing.tryReadLock();
    if (stamp == 0) {
      throw new IOException("the ApplicationMaster ends and writes no more files");
    }
    try {
      return action.run();
    } finally {
      writing.unlockRead(stamp);
    }
  }

  @Override
  public void replace(String name, Content content) throws IOException {
    whileOpen(() -> {
      replaceNow(name, content);
      return null;
    });
  }

  private void replaceNow(String name, Content content) throws IOException {
    FileSystem files = files();
    Path temporary = new Path(folder, "." + name + "." + attempt);
    try (OutputStream out = files.create(temporary, true)) {
      content.writeTo(out);
    }
    journals.check();
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
  public ClientFile read(String name, long known, int limit) throws IOException {
    Path path = new Path(folder, name);
    FileSystem files = path.getFileSystem(configuration);
    FileStatus status;
    try {
      status = files.getFileStatus(path);
    } catch (FileNotFoundException none) {
      return null;
    }
    if (status.getModificationTime() == known) {
      return null;
    }
    if (!status.isFile() || status.getLen() > limit) {
      throw new IOException(status.isFile() ? "it has " + status.getLen() + " bytes, at most " + limit + " are read"
          : "it is not a file");
    }
    byte[] content = new byte[(int) status.getLen()];
    try (FSDataInputStream in = files.open(path)) {
      in.readFully(0, content);
    } catch (FileNotFoundException replaced) {
      return null; // HttpFS deletes a file before it puts another in its place
    }
    return new ClientFile(status.getModificationTime(), content);
  }

  @Override
  public boolean readJournal(Consumer<String> lines) throws IOException {
    return journals.takeOver(lines);
  }

  @Override
  public JournalFile beginJournal(int segment, Content first) throws IOException {
    return whileOpen(() -> journals.begin(segment, first));
  }

  /** The file operations of {@link JournalFiles}. */
  private final class Steps implements JournalFiles.Folder {
    @Override
    public List<String> list() throws IOException {
      FileSystem files = files();
      // A standby NameNode that serves reads may not yet have the newest writes of other processes.
      String provider = configuration.get("dfs.client.failover.proxy.provider." + folder.toUri().getHost(), "");
      if (provider.contains("Observer") && files instanceof DistributedFileSystem) {
        ((DistributedFileSystem) files).msync();
      }
      List<String> names = new ArrayList<>();
      for (FileStatus status : files.listStatus(folder)) {
        names.add(status.getPath().getName());
      }
      return names;
    }

    @Override
    public JournalFiles.Out create(String name) throws IOException {
      FSDataOutputStream out = files().create(new Path(folder, name), true);
      return new JournalFiles.Out() {
        @Override
        public void append(byte[] bytes) throws IOException {
          out.write(bytes);
          out.hflush();
        }

        @Override
        public void close() throws IOException {
          out.close();
        }
      };
    }

    @Override
    public void rename(String from, String to) throws IOException {
      HdfsApplicationFolder.rename(files(), new Path(folder, from), new Path(folder, to));
    }

    @Override
    public void delete(String name) throws IOException {
      files().delete(new Path(folder, name), false);
    }

    @Override
    public boolean recover(String name) throws IOException {
      FileSystem files = files();
      return !(files instanceof DistributedFileSystem) || ((DistributedFileSystem) files).recoverLease(new Path(folder, name));
    }

    @Override
    public boolean isClosed(String name) throws IOException {
      FileSystem files = files();
      return !(files instanceof DistributedFileSystem) || ((DistributedFileSystem) files).isFileClosed(new Path(folder, name));
    }

    @Override
    public InputStream open(String name) throws IOException {
      return files().open(new Path(folder, name));
    }

    @Override
    public void pause(long milliseconds) throws IOException {
      try {
        Thread.sleep(milliseconds);
      } catch (InterruptedException error) {
        throw new InterruptedIOException();
      }
    }
  }
}
