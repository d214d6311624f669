package knit.am;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import knit.am.ClassArchiveOptions.Given;
import knit.am.util.Log;

/**
 * The archive of the classes that ApplicationMasters load, on this node. With it an ApplicationMaster needs half of the processor
 * time until it registers.
 *
 * <p>The archive {@code <name>.jsa} is in the user's YARN folder {@code <local>/usercache/<user>/knit}; without mode 700 of the
 * folder nothing is done. The client makes the name from everything that it knows about the classes. Beside the archive is
 * {@code <name>.options}, a file of JVM options. The command line of a first attempt passes it to the JVM if both files belong to
 * this user and have mode 600, and the archive has the size that the options state. The JVM checks its own version, each jar's time
 * and size and the archive's checksums, and runs without the archive if something differs.
 *
 * <p>The first ApplicationMaster on a node writes options that make the next one record its classes. That one starts more slowly,
 * and writes the archive after the application has ended. The options of an archive are replaced but never removed, because a JVM
 * does not start without the file of options that its command line names.
 *
 * <p>The command line makes {@code <name>.started} before it passes options, and passes none while the file exists. The
 * ApplicationMaster removes it when it begins. A file older than a minute means that the JVM did not start: the next
 * ApplicationMaster removes the archive, so one launch at most fails.
 */
final class ClassArchive {
  /** Writes the archive. */
  interface Dump {
    void to(Path file) throws Exception;
  }

  static final int TRIES = 3;
  static final int KEPT = 3;
  /** Milliseconds for a process to write the archive, before another one tries. */
  static final long RECORD_TIME = 600_000;
  /** Milliseconds until the next try after {@link #TRIES} failed ones. */
  static final long PAUSE = 24 * 3_600_000L;
  /** Milliseconds after which a temporary file is removed. */
  static final long TEMPORARY_AGE = 3_600_000;
  /** Milliseconds from the command line to {@link #began}, at most. */
  static final long START_TIME = 60_000;
  /** Milliseconds after which options without an archive are removed. */
  static final long OPTIONS_AGE = 90 * PAUSE;
  /** Bytes of disk that must be free. */
  private static final long LEAST_FREE = 200L << 20;
  /** Bytes of the smallest valid archive. */
  private static final long SMALLEST = 1 << 16;
  /** Paths without characters that bash or the JVM would change; the command line has the same pattern. */
  private static final Pattern LOCAL = Pattern.compile(
      "(/[A-Za-z0-9/._@+-]*/usercache/[A-Za-z0-9/._@+-]*)/appcache/[A-Za-z0-9._@+-]*");
  private static final Pattern FIRST = Pattern.compile(".*_01_[0-9]+");

  private final Path folder;
  private final String name;
  private final Given given;
  private final boolean first;
  private final BooleanSupplier allowed;
  private final Dump dump;
  private final Object user;

  /**
   * The archive of this process.
   *
   * @return null when archives are switched off, or impossible on this node
   */
  static ClassArchive ofProcess() {
    String name = System.getProperty("knit.archive");
    String container = System.getenv("CONTAINER_ID");
    Path folder = folder(System.getenv("LOCAL_DIRS"));
    String given = System.getProperty("knit.archive.given", Given.NOTHING.name());
    if (name == null || container == null || folder == null
        || !ClassSharing.possible(System.getProperty("java.specification.version"), System.getProperty("java.vm.name"))) {
      return null;
    }
    try {
      return new ClassArchive(folder, name, Given.valueOf(given), FIRST.matcher(container).matches(),
          () -> ClassSharing.separable(System.getProperty("java.class.path"), System.getProperty("knit.conf", ""))
              && ClassSharing.recordable(), ClassSharing::dump);
    } catch (IOException | RuntimeException noUnix) {
      return null;
    }
  }

  ClassArchive(Path folder, String name, Given given, boolean first, BooleanSupplier allowed, Dump dump) throws IOException {
    this.folder = folder;
    this.name = name;
    this.given = given;
    this.first = first;
    this.allowed = allowed;
    this.dump = dump;
    user = Files.getAttribute(Paths.get("/proc/self"), "unix:uid");
  }

  /** The folder for archives, in the first of the node's local folders; null if its path allows none. */
  static Path folder(String localDirs) {
    Matcher found = LOCAL.matcher(localDirs == null ? "" : localDirs.split(",", 2)[0]);
    return found.matches() ? Paths.get(found.group(1), "knit") : null;
  }

  /** The process has begun. A recording counts as a try now, because it may end before it writes the archive. */
  void began() {
    if (given != Given.NOTHING) {
      quietly(() -> Files.deleteIfExists(file(".started")));
    }
    if (given == Given.RECORD) {
      quietly(() -> {
        ClassArchiveOptions options = ClassArchiveOptions.read(file(".options"));
        if (options == null || options.given == Given.RECORD) { // otherwise another process records, too
          write(new ClassArchiveOptions(Given.PAUSE, 0, options == null ? TRIES : options.tries + 1));
        }
      });
    }
  }

  /** An earlier attempt ended without a journal. The archive may be the cause. */
  void distrust() {
    quietly(() -> {
      if (!mine(folder, 0700)) {
        return;
      }
      Files.deleteIfExists(file(".started")); // a later process would remove the next archive, too
      ClassArchiveOptions options = ClassArchiveOptions.read(file(".options"));
      if (options != null && options.given == Given.USE) {
        renew(options.tries);
      } else if (options != null && options.given == Given.RECORD) {
        write(new ClassArchiveOptions(Given.PAUSE, 0, Math.max(options.tries + 1, TRIES)));
      }
    });
  }

  /** The process ends, after the application has. */
  void finish(long now) {
    if (first) {
      quietly(() -> end(now));
    }
  }

  private void end(long now) throws Exception {
    if (given == Given.NOTHING && notStarted(now)) {
      distrust();
      return;
    }
    boolean begins = given == Given.NOTHING || given == Given.PAUSE; // the others were allowed before
    if (begins && !allowed.getAsBoolean()) {
      return;
    }
    if (given == Given.NOTHING) {
      make();
    }
    if (!mine(folder, 0700)) {
      return;
    }
    ClassArchiveOptions options = mine(file(".options"), 0600) ? ClassArchiveOptions.read(file(".options")) : null;
    if (given == Given.RECORD) {
      if (options == null || options.given != Given.USE || !whole(options)) { // else another process has written it
        record(options == null ? TRIES : options.tries, now);
      }
    } else if (options == null) {
      renew(0);
    } else if (options.given == Given.PAUSE) {
      if (past(options.written, pause(options.tries), now)) {
        Files.deleteIfExists(file(".jsa")); // of a process that was killed before it wrote the options
        write(new ClassArchiveOptions(Given.RECORD, 0, options.tries));
      }
    } else if (given == Given.USE && options.given == Given.USE) {
      used(options, now);
    } else if (options.given == Given.USE && !whole(options)) {
      renew(options.tries);
    } else if (options.given == Given.RECORD) {
      Files.deleteIfExists(file(".jsa")); // with an archive, the command line does not have classes recorded
    }
  }

  /** Milliseconds until the next try; it grows with the number of failed ones. */
  static long pause(int tries) {
    return tries < TRIES ? RECORD_TIME : PAUSE << Math.min(tries - TRIES, 5);
  }

  /** Whether the times are further apart than so many milliseconds. The first one is in the future if the clock was set back. */
  private static boolean past(long then, long milliseconds, long now) {
    return Math.abs(now - then) > milliseconds;
  }

  /** Whether a JVM that got options did not begin. */
  private boolean notStarted(long now) {
    Path mark = file(".started");
    return mine(folder, 0700) && Files.exists(mark, LinkOption.NOFOLLOW_LINKS) && past(modified(mark), START_TIME, now);
  }

  /** The JVM had the option to use the archive. Check whether it did. */
  private void used(ClassArchiveOptions options, long now) throws IOException {
    if (!ClassSharing.mapped(folder.toRealPath().resolve(name + ".jsa").toString())) {
      renew(options.tries);
    } else if (options.tries > 0) {
      write(new ClassArchiveOptions(Given.USE, options.size, 0));
    } else if (past(options.written, PAUSE, now)) {
      Files.setLastModifiedTime(file(".options"), FileTime.fromMillis(now)); // archives that are in use are kept
    }
  }

  private void renew(int tries) throws IOException {
    Files.deleteIfExists(file(".jsa"));
    write(new ClassArchiveOptions(tries < TRIES ? Given.RECORD : Given.PAUSE, 0, tries));
  }

  private void record(int tries, long now) throws Exception {
    Path temporary = temporary();
    try {
      clean(now); // files of processes that were killed while they wrote
      if (folder.toFile().getUsableSpace() < LEAST_FREE) {
        throw new IOException("less than " + (LEAST_FREE >> 20) + " MiB of disk are free");
      }
      dump.to(temporary);
      long size = Files.size(temporary);
      if (size < SMALLEST) {
        throw new IOException("the archive has " + size + " bytes");
      }
      Files.setPosixFilePermissions(temporary, PosixFilePermissions.fromString("rw-------"));
      Files.move(temporary, file(".jsa"), StandardCopyOption.ATOMIC_MOVE);
      write(new ClassArchiveOptions(Given.USE, size, tries));
      Log.phase("archive of classes written, " + (size >> 20) + " MiB");
      clean(now);
    } catch (Exception | LinkageError error) {
      Files.deleteIfExists(temporary);
      Files.deleteIfExists(Paths.get(temporary + ".temp")); // the JVM's own
      write(new ClassArchiveOptions(Given.PAUSE, 0, Math.max(tries, TRIES)));
      throw error;
    }
  }

  /** Keep the {@link #KEPT} archives that were used last, and remove files of killed processes. */
  void clean(long now) throws IOException {
    List<Path> archives = new ArrayList<>();
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
      for (Path file : files) {
        String text = file.toString();
        boolean options = text.endsWith(".options") || text.endsWith(".started");
        if (text.endsWith(".jsa")) {
          archives.add(file);
        } else if (past(modified(file), options ? OPTIONS_AGE : TEMPORARY_AGE, now)) {
          Files.deleteIfExists(file);
        }
      }
    }
    archives.sort(Collections.reverseOrder((one, other) -> Long.compare(lastUsed(one), lastUsed(other))));
    for (Path archive : archives.subList(Math.min(KEPT, archives.size()), archives.size())) {
      Files.deleteIfExists(archive);
    }
  }

  private static long lastUsed(Path archive) {
    return modified(Paths.get(archive.toString().replaceAll("jsa$", "options")));
  }

  private static long modified(Path file) {
    return file.toFile().lastModified();
  }

  private void make() throws IOException {
    try {
      Files.createDirectory(folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    } catch (FileAlreadyExistsException there) {
      // its owner and mode are checked next
    }
  }

  private boolean whole(ClassArchiveOptions options) throws IOException {
    return mine(file(".jsa"), 0600) && Files.size(file(".jsa")) == options.size;
  }

  /** Whether it is a folder (0700) or a file (0600) of this user with this mode, and no link. */
  boolean mine(Path path, int mode) {
    try {
      Map<String, Object> found = Files.readAttributes(path, "unix:mode,uid", LinkOption.NOFOLLOW_LINKS);
      int kind = mode == 0700 ? 0040000 : 0100000;
      return ((Integer) found.get("mode") & 0170777) == (kind | mode) && user.equals(found.get("uid"));
    } catch (IOException error) {
      return false;
    }
  }

  private Path file(String suffix) {
    return folder.resolve(name + suffix);
  }

  private Path temporary() {
    return folder.resolve(name + "." + System.nanoTime() + ".tmp");
  }

  private void write(ClassArchiveOptions options) throws IOException {
    if (!mine(folder, 0700)) {
      return;
    }
    Path temporary = Files.createFile(temporary(),
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    try {
      Files.write(temporary, options.text(file(".jsa")).getBytes(StandardCharsets.US_ASCII));
      Files.move(temporary, file(".options"), StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  /** A fault is one line on stderr: the archive only saves time. */
  private static void quietly(Work work) {
    try {
      work.run();
    } catch (Exception | LinkageError error) {
      Log.line("no archive of classes, which has no effect but time: " + Log.reason(error));
    }
  }

  private interface Work {
    void run() throws Exception;
  }
}
