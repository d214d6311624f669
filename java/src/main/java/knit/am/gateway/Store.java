package knit.am.gateway;

import java.io.Closeable;
import java.io.IOException;
import java.util.function.Consumer;

/** The application's folder {@code <staging>/apps/<app id>/}. */
public interface Store {
  /** Write a file so that readers see the old one or the whole new one. */
  void replace(String name, byte[] content) throws IOException;

  /**
   * Read the newest journal that an earlier attempt left; whoever wrote it can write no more.
   *
   * @param lines gets each complete line
   * @return false if there is none
   */
  boolean readJournal(Consumer<String> lines) throws IOException;

  /**
   * Begin a journal. It takes the place of the one before once its first lines are there.
   *
   * @param segment counts this attempt's journals
   * @param first the state so far
   */
  JournalFile beginJournal(int segment, byte[] first) throws IOException;

  /** A journal being written. */
  interface JournalFile extends Closeable {
    /** Returns once the lines would survive the death of this process and of its node. */
    void append(byte[] lines) throws IOException;
  }
}
