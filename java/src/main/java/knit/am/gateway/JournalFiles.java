package knit.am.gateway;

import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The journal files of an application's attempts. One of them is valid at any time.
 *
 * <p>Attempt n has the files {@code attempt-n} (empty, its claim) and {@code journal-n-s}, s counting its segments. No other
 * process writes under these names. A segment is written under a temporary name and then renamed, so a journal always holds a
 * whole state.
 *
 * <p>To begin a segment, an attempt (B1) writes the state and flushes it, (B2) renames the file, (B3) lists the folder and ends if
 * there is any file of a higher attempt, (B4) deletes its own earlier segments and the files of lower attempts. Only then are
 * records acknowledged. It never returns to an earlier segment.
 *
 * <p>To take over, an attempt (T1) makes its claim, (T2) lists the folder, (T3) recovers the lease of every journal in the list,
 * (T4) reads the newest. If a file of the list was deleted meanwhile, it lists again.
 *
 * <p>No acknowledged record is lost. Let s be the last segment on which the lower attempt n acknowledged anything. Its B3
 * came before T1, else it would have seen the claim and ended. So its B2 came before T2, the list has s, and it stays: only a
 * later segment of n that has passed B3 leads to its deletion, and there is none. After T3 every flush of n on s fails, and what
 * succeeded before is in the file. If the list has a later segment of n, which cannot have passed B3, its first state was made
 * after the last acknowledgement on s, so it has all of it, too.
 *
 * <p>No record of the higher attempt is lost. Attempts delete only files of lower ones. They do so at B4, when their own state is
 * durable, after T3. A journal that a lower attempt renames after T3 never gets past B3.
 *
 * <p>A flush on a deleted file may succeed. {@link Segment#check} checks that this attempt is the newest and its file exists.
 */
public final class JournalFiles {
  /** Each call is one atomic step, seen by every later call of any process. */
  public interface Folder {
    List<String> list() throws IOException;

    /** An empty file of this name, in place of an earlier one. */
    Out create(String name) throws IOException;

    /** Replaces a file of that name; a writer of the renamed file can go on. */
    void rename(String from, String to) throws IOException;

    /** No effect if there is no such file. */
    void delete(String name) throws IOException;

    /**
     * Begin to take a file away from its writer.
     *
     * @return as {@link #isClosed}
     */
    boolean recover(String name) throws IOException;

    /**
     * Whether a file has no writer any more: flushes on it fail from now on, and what was flushed is in it.
     *
     * @throws FileNotFoundException if there is no such file
     */
    boolean isClosed(String name) throws IOException;

    InputStream open(String name) throws IOException;

    /** Wait for so many milliseconds. */
    void pause(long milliseconds) throws IOException;
  }

  /** A file being written. */
  public interface Out {
    /** Returns when the bytes survive the death of this process and its node. */
    void append(byte[] bytes) throws IOException;

    void close() throws IOException;
  }

  /** A later attempt of the application has begun. This one must write no more. */
  public static final class Superseded extends IOException {
    private static final long serialVersionUID = 1L;

    Superseded(String name) {
      super("a later attempt has begun: there is " + name);
    }
  }

  private static final Pattern NAMES = Pattern.compile("attempt-([0-9]{6,10})|\\.?journal-([0-9]{6,10})-([0-9]{6,10})");
  private static final long POLL = 50;
  /** Bytes of a state that are written at once. */
  private static final int PIECE = 1 << 20;
  /** Milliseconds after which a recovery is begun again, because the DataNode that does it may have died. */
  private static final long AGAIN = 20_000;

  private final Folder folder;
  private final int attempt;
  private final long leaseLimit;
  private Out present;

  /**
   * @param attempt whose journals are written here
   * @param leaseLimit milliseconds in which the lease of a file must be recovered
   */
  public JournalFiles(Folder folder, int attempt, long leaseLimit) {
    this.folder = folder;
    this.attempt = attempt;
    this.leaseLimit = leaseLimit;
  }

  private static final class Name implements Comparable<Name> {
    final String text;
    final int attempt;
    /** -1 for a claim. */
    final int segment;

    private Name(Matcher parts) {
      text = parts.group();
      boolean claim = parts.group(1) != null;
      attempt = Integer.parseInt(parts.group(claim ? 1 : 2));
      segment = claim ? -1 : Integer.parseInt(parts.group(3));
    }

    boolean isJournal() {
      return segment >= 0 && text.charAt(0) != '.';
    }

    boolean isBefore(int otherAttempt, int otherSegment) {
      return attempt < otherAttempt || attempt == otherAttempt && segment < otherSegment;
    }

    @Override
    public int compareTo(Name other) {
      return attempt != other.attempt ? Integer.compare(attempt, other.attempt) : Integer.compare(segment, other.segment);
    }
  }

  /** @throws Superseded if one of the files is a higher attempt's */
  private List<Name> list() throws IOException {
    List<Name> names = new ArrayList<>();
    for (String text : folder.list()) {
      Matcher parts = NAMES.matcher(text);
      if (parts.matches()) {
        names.add(new Name(parts));
      }
    }
    Collections.sort(names);
    if (!names.isEmpty() && names.get(names.size() - 1).attempt > attempt) {
      throw new Superseded(names.get(names.size() - 1).text);
    }
    return names;
  }

  private static String journal(int attempt, int segment) {
    return String.format("journal-%06d-%06d", attempt, segment);
  }

  /** @throws Superseded if a higher attempt has begun */
  public void check() throws IOException {
    list();
  }

  /**
   * Take over from the earlier attempts and read what they left.
   *
   * @param lines gets each complete line
   * @return false if there is no journal
   * @throws FileNotFoundException if a file was deleted meanwhile; try again
   * @throws IOException if a journal cannot be read or its lease is not recovered in time; nothing is deleted then
   */
  public boolean takeOver(Consumer<String> lines) throws IOException {
    folder.create(String.format("attempt-%06d", attempt)).close();
    String newest = null;
    for (Name name : list()) {
      if (name.isJournal()) {
        recover(name.text);
        newest = name.text;
      }
    }
    if (newest == null) {
      return false;
    }
    try (BufferedReader reader =
        new BufferedReader(new InputStreamReader(folder.open(newest), StandardCharsets.US_ASCII))) {
      StringBuilder line = new StringBuilder();
      for (int next = reader.read(); next >= 0; next = reader.read()) {
        if (next == '\n') {
          lines.accept(line.toString());
          line.setLength(0);
        } else {
          line.append((char) next);
        }
      }
      // A line without its newline was not acknowledged.
    }
    return true;
  }

  private void recover(String name) throws IOException {
    for (long waited = 0; !(waited % AGAIN == 0 ? folder.recover(name) : folder.isClosed(name)); waited += POLL) {
      if (waited >= leaseLimit) {
        throw new IOException("the lease of " + name + " was not recovered within " + leaseLimit / 1000 + " s");
      }
      folder.pause(POLL);
    }
  }

  /** Begin a segment: steps B1 to B4. */
  public Segment begin(int segment, ApplicationFolder.Content state) throws IOException {
    String name = journal(attempt, segment);
    Out out = folder.create("." + name);
    boolean begun = false;
    List<Name> names;
    try {
      OutputStream pieces = new BufferedOutputStream(new OutputStream() {
        @Override
        public void write(int one) throws IOException {
          out.append(new byte[] {(byte) one});
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws IOException {
          out.append(Arrays.copyOfRange(bytes, from, from + length));
        }
      }, PIECE);
      state.writeTo(pieces);
      pieces.flush();
      folder.rename("." + name, name);
      names = list();
      begun = true;
    } finally {
      if (!begun) {
        closeQuietly(out);
      }
    }
    if (present != null) {
      closeQuietly(present);
    }
    present = out;
    for (Name old : names) {
      if (old.isBefore(attempt, segment) && old.segment >= 0) {
        folder.delete(old.text);
      }
    }
    return new Segment(name, out);
  }

  /** All acknowledged records are flushed already. */
  private static void closeQuietly(Out out) {
    try {
      out.close();
    } catch (IOException error) {
      return;
    }
  }

  /** The segment that this attempt writes. */
  public final class Segment implements ApplicationFolder.JournalFile {
    private final String name;
    private final Out out;

    Segment(String name, Out out) {
      this.name = name;
      this.out = out;
    }

    @Override
    public void append(byte[] lines) throws IOException {
      out.append(lines);
    }

    @Override
    public void check() throws IOException {
      for (Name there : list()) {
        if (there.text.equals(name)) {
          return;
        }
      }
      throw new FileNotFoundException(name + " does not exist any more");
    }
  }
}
