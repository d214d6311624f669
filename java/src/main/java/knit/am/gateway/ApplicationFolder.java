package knit.am.gateway;

import java.io.IOException;
import java.io.OutputStream;
import java.util.function.Consumer;

/** The application's folder {@code <staging>/apps/<app id>/}. How attempts share it: {@link JournalFiles}. */
public interface ApplicationFolder {
  /**
   * Replace a file. Readers see the old one or the whole new one.
   *
   * @throws JournalFiles.Superseded if a later attempt has begun, to which the file then belongs
   */
  void replace(String name, Content content) throws IOException;

  /**
   * Take over from the earlier attempts, so that they can write no more, and read their newest journal.
   *
   * @param lines gets each complete line
   * @return false if there is none
   * @throws java.io.FileNotFoundException if a file was deleted meanwhile; try again at once
   */
  boolean readJournal(Consumer<String> lines) throws IOException;

  /**
   * Begin a journal. It replaces the one before when its first lines are written.
   *
   * @param segment the number of this attempt's journal; failed ones count
   * @param first the whole state
   * @throws JournalFiles.Superseded if a later attempt has begun
   */
  JournalFile beginJournal(int segment, Content first) throws IOException;

  /**
   * Read a file that the client replaces.
   *
   * @param known the modification time of the file that was read before, -1 for none
   * @param limit bytes that it may have
   * @return null if there is no such file, or it is the one that was read before
   * @throws IOException if it is larger, or cannot be read
   */
  ClientFile read(String name, long known, int limit) throws IOException;

  /** A file of the client. */
  final class ClientFile {
    /** When it was written, in milliseconds since the epoch. */
    public final long modified;
    public final byte[] content;

    public ClientFile(long modified, byte[] content) {
      this.modified = modified;
      this.content = content;
    }
  }

  /** The content of a file. It may be large, so it is written in parts. */
  interface Content {
    void writeTo(OutputStream out) throws IOException;
  }

  /** A journal being written. */
  interface JournalFile {
    /** Returns when the lines survive the death of this process and its node. */
    void append(byte[] lines) throws IOException;

    /**
     * Returns if a next attempt would read all appended lines.
     *
     * @throws JournalFiles.Superseded if a later attempt has begun
     */
    void check() throws IOException;
  }
}
