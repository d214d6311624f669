package knit.am.gateway;

import java.io.IOException;
import java.io.OutputStream;
import java.util.function.Consumer;

/** The application's folder {@code <staging>/apps/<app id>/}; {@link JournalFiles} says how attempts share it. */
public interface ApplicationFolder {
  /**
   * Write a file so that readers see the old one or the whole new one.
   *
   * @throws JournalFiles.Superseded if a later attempt has begun: the file is its
   */
  void replace(String name, Content content) throws IOException;

  /**
   * Take over from earlier attempts and read the newest journal that they left; they can write no more.
   *
   * @param lines gets each complete line
   * @return false if there is none
   * @throws java.io.FileNotFoundException if a file went meanwhile: it is to be tried again at once
   */
  boolean readJournal(Consumer<String> lines) throws IOException;

  /**
   * Begin a journal. It takes the place of the one before once its first lines are there.
   *
   * @param segment counts this attempt's journals, failed ones too
   * @param first the state so far
   * @throws JournalFiles.Superseded if a later attempt has begun
   */
  JournalFile beginJournal(int segment, Content first) throws IOException;

  /** What a file is to hold: it may be large, so it is never there as a whole. */
  interface Content {
    void writeTo(OutputStream out) throws IOException;
  }

  /** A journal being written. */
  interface JournalFile {
    /** Returns once the lines would survive the death of this process and of its node. */
    void append(byte[] lines) throws IOException;

    /**
     * Returns if what was appended is what a next attempt would read.
     *
     * @throws JournalFiles.Superseded if a later attempt has begun
     */
    void check() throws IOException;
  }
}
