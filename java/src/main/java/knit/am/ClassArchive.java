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

/**
 * The archive of the classes that ApplicationMasters load, on this node: whoever maps it needs half of the processor time until
 * it registers.
 *
 * <p>It lies in the user's own YARN folder, {@code <local>/usercache/<user>/knit} (mode 700, or nothing is done), under a name
 * that the client made of everything that it knows: {@code <name>.jsa}. Beside it is {@code <name>.options}, a file of options
 * for the JVM. The command line passes it when both belong to this user, have mode 600 and the archive has the size that the
 * options tell; it passes nothing to an attempt after the first. The JVM checks what the client cannot know (its own version,
 * each jar's time and size, the archive's checksums) and runs without the archive if something is different.
 *
 * <p>The first ApplicationMaster on a node leaves options that have the next one record its classes. That one starts more slowly,
 * and at its end, when nobody waits for it any more, it writes the archive. The options of an archive are never removed, only
 * replaced: a JVM that finds no file of options does not start.
 *
 * <p>The command line makes {@code <name>.started} before it passes options, and passes none while the file exists. The
 * ApplicationMaster removes it when it begins. If the JVM did not start, a later one finds it and removes the archive: one launch
 * at most fails.
 */
final class ClassArchive {
  /** What the command line gave to this process. */
  enum Given { NOTHING, PAUSE, RECORD, USE }

  /** Writes the archive. */
  interface Dump {
    void to(Path file) throws Exception;
  }

  static final int TRIES = 3;
  static final int KEPT = 3;
  /** Milliseconds until another process tries what one that may be at it has not yet done: it may have been killed. */
  static final long TURN = 600_000;
  /** Milliseconds without a try on a node where {@link #TRIES} did not lead to an archive that can be used. */
  static final long PAUSE = 24 * 3_600_000L;
  /** Milliseconds after which a temporary file is one that was left. */
  static final long LEFT = 3_600_000;
  /** Milliseconds from the command line to {@link #began}, at most. */
  static final long BEGINNING = 60_000;
  /** Milliseconds after which options without an archive are removed. */
  static final long FORGOTTEN = 90 * PAUSE;
  private static final long ROOM = 200L << 20;
  private static final long SMALLEST = 1 << 16;
  /** What bash and the JVM leave as it is; the command line allows the same. */
  private static final Pattern LOCAL = Pattern.compile("(/[A-Za-z0-9/._@+-]*/usercache/[A-Za-z0-9/._@+-]*)/appcache/[A-Za-z0-9._@+-]*");
  private static final Pattern FIRST = Pattern.compile(".*_01_[0-9]+");
  private static final String FIRST_LINE = "-Dknit.archive.size=";

  private final Path folder;
  private final String name;
  private final Given given;
  private final boolean first;
  private final BooleanSupplier allowed;
  private final Dump dump;
  private final Object user;

  /**
   * Of this process.
   *
   * @return null when it is switched off, or impossible here
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

  /** The folder for archives, null: the node's local folders allow none. The first one counts, as it does for bash. */
  static Path folder(String localDirs) {
    Matcher found = LOCAL.matcher(localDirs == null ? "" : localDirs.split(",", 2)[0]);
    return found.matches() ? Paths.get(found.group(1), "knit") : null;
  }

  /** This process has begun. One that is recorded may never come to write its archive, so it counts as a try now. */
  void began() {
    if (given != Given.NOTHING) {
      quietly(() -> Files.deleteIfExists(file(".started")));
    }
    if (given == Given.RECORD) {
      quietly(() -> {
        Options options = Options.read(file(".options"));
        if (options == null || options.given == Given.RECORD) { // else another process records, too
          write(new Options(Given.PAUSE, 0, options == null ? TRIES : options.tries + 1));
        }
      });
    }
  }

  /** An earlier attempt ended before it left anything: it may have been the archive. */
  void distrust() {
    quietly(() -> {
      if (!mine(folder, 0700)) {
        return;
      }
      Files.deleteIfExists(file(".started")); // else a later process would distrust the next archive, too
      Options options = Options.read(file(".options"));
      if (options != null && options.given == Given.USE) {
        renew(options.tries);
      } else if (options != null && options.given == Given.RECORD) {
        write(new Options(Given.PAUSE, 0, Math.max(options.tries + 1, TRIES)));
      }
    });
  }

  /** This process ends, after all that it had to do. */
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
    boolean begins = given == Given.NOTHING || given == Given.PAUSE; // the others had what they need
    if (begins && !allowed.getAsBoolean()) {
      return;
    }
    if (given == Given.NOTHING) {
      make();
    }
    if (!mine(folder, 0700)) {
      return;
    }
    Options options = mine(file(".options"), 0600) ? Options.read(file(".options")) : null;
    if (given == Given.RECORD) {
      if (options == null || options.given != Given.USE || !whole(options)) { // else another one was faster
        record(options == null ? TRIES : options.tries, now);
      }
    } else if (options == null) {
      renew(0);
    } else if (options.given == Given.PAUSE) {
      if (past(options.written, pause(options.tries), now)) {
        Files.deleteIfExists(file(".jsa")); // of a process that was killed before it wrote the options
        write(new Options(Given.RECORD, 0, options.tries));
      }
    } else if (given == Given.USE && options.given == Given.USE) {
      used(options, now);
    } else if (options.given == Given.USE && !whole(options)) {
      renew(options.tries);
    } else if (options.given == Given.RECORD) {
      Files.deleteIfExists(file(".jsa")); // with an archive, the command line does not have classes recorded
    }
  }

  /** The milliseconds until the next try: it grows with those that failed. */
  static long pause(int tries) {
    return tries < TRIES ? TURN : PAUSE << Math.min(tries - TRIES, 5);
  }

  /** Whether so many milliseconds are between two times, or the first one is of a clock that was set back since. */
  private static boolean past(long then, long milliseconds, long now) {
    return Math.abs(now - then) > milliseconds;
  }

  /** Whether a JVM that was given options did not begin. */
  private boolean notStarted(long now) {
    Path mark = file(".started");
    return mine(folder, 0700) && Files.exists(mark, LinkOption.NOFOLLOW_LINKS) && past(modified(mark), BEGINNING, now);
  }

  /** The JVM was told to use the archive, and has mapped it or not. */
  private void used(Options options, long now) throws IOException {
    if (!ClassSharing.mapped(folder.toRealPath().resolve(name + ".jsa").toString())) {
      renew(options.tries);
    } else if (options.tries > 0) {
      write(new Options(Given.USE, options.size, 0));
    } else if (past(options.written, PAUSE, now)) {
      Files.setLastModifiedTime(file(".options"), FileTime.fromMillis(now)); // archives that are in use are kept
    }
  }

  private void renew(int tries) throws IOException {
    Files.deleteIfExists(file(".jsa"));
    write(new Options(tries < TRIES ? Given.RECORD : Given.PAUSE, 0, tries));
  }

  private void record(int tries, long now) throws Exception {
    Path temporary = temporary();
    try {
      clean(now); // processes that were killed while they wrote
      if (folder.toFile().getUsableSpace() < ROOM) {
        throw new IOException("less than " + (ROOM >> 20) + " MiB of disk are free");
      }
      dump.to(temporary);
      long size = Files.size(temporary);
      if (size < SMALLEST) {
        throw new IOException("the archive has " + size + " bytes");
      }
      Files.setPosixFilePermissions(temporary, PosixFilePermissions.fromString("rw-------"));
      Files.move(temporary, file(".jsa"), StandardCopyOption.ATOMIC_MOVE);
      write(new Options(Given.USE, size, tries));
      Log.phase("archive of classes written, " + (size >> 20) + " MiB");
      clean(now);
    } catch (Exception | LinkageError error) {
      Files.deleteIfExists(temporary);
      Files.deleteIfExists(Paths.get(temporary + ".temp")); // the JVM's own
      write(new Options(Given.PAUSE, 0, Math.max(tries, TRIES)));
      throw error;
    }
  }

  /** Keeps the archives that were used last, and removes what killed processes left. */
  void clean(long now) throws IOException {
    List<Path> archives = new ArrayList<>();
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
      for (Path file : files) {
        String text = file.toString();
        boolean options = text.endsWith(".options") || text.endsWith(".started");
        if (text.endsWith(".jsa")) {
          archives.add(file);
        } else if (past(modified(file), options ? FORGOTTEN : LEFT, now)) {
          file.toFile().delete();
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
      // is looked at next
    }
  }

  private boolean whole(Options options) throws IOException {
    return mine(file(".jsa"), 0600) && Files.size(file(".jsa")) == options.size;
  }

  /** Whether it is a folder (0700) or a plain file (0600) of this user alone, and no link to one. */
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

  private void write(Options options) throws IOException {
    if (!mine(folder, 0700)) {
      return;
    }
    Path temporary = Files.createFile(temporary(), PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    try {
      Files.write(temporary, options.text(file(".jsa")).getBytes(StandardCharsets.US_ASCII));
      Files.move(temporary, file(".options"), StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }

  /** An archive is never worth a failure: what goes wrong is said in one line. */
  private static void quietly(Work work) {
    try {
      work.run();
    } catch (Exception | LinkageError error) {
      Log.say("no archive of classes, which does no harm: " + Log.reason(error));
    }
  }

  private interface Work {
    void run() throws Exception;
  }

  /** The file of options. */
  static final class Options {
    final Given given;
    /** The archive's bytes. */
    final long size;
    /** Recordings since an archive was last seen in use. */
    final int tries;
    final long written;

    Options(Given given, long size, int tries) {
      this(given, size, tries, 0);
    }

    private Options(Given given, long size, int tries, long written) {
      this.given = given;
      this.size = size;
      this.tries = tries;
      this.written = written;
    }

    /** Null: not there, or not one. */
    static Options read(Path file) {
      try {
        String[] lines = new String(Files.readAllBytes(file), StandardCharsets.US_ASCII).split("\n");
        String size = lines[0].substring(FIRST_LINE.length());
        return new Options(Given.valueOf(lines[1].substring(lines[1].indexOf('=') + 1)), size.isEmpty() ? 0 : Long.parseLong(size),
            Integer.parseInt(lines[2].substring(lines[2].indexOf('=') + 1)), modified(file));
      } catch (IOException | RuntimeException error) {
        return null;
      }
    }

    String text(Path archive) {
      String text = FIRST_LINE + (given == Given.USE ? size : "") + "\n-Dknit.archive.given=" + given + "\n-Dknit.archive.tries=" + tries
          + "\n";
      if (given == Given.USE) {
        text += "-XX:SharedArchiveFile=" + archive + "\n-XX:+VerifySharedSpaces\n-Xlog:disable\n";
      } else if (given == Given.RECORD) {
        text += "-XX:+RecordDynamicDumpInfo\n-Xlog:disable\n";
      }
      return text;
    }
  }
}
