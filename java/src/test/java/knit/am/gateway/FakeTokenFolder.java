package knit.am.gateway;

import java.util.function.Consumer;

/** A folder that has at most the client's file of tokens. */
final class FakeTokenFolder implements ApplicationFolder {
  byte[] content;
  long modified = 1;

  @Override
  public ClientFile read(String name, long known, int limit) {
    return content == null || modified == known ? null : new ClientFile(modified, content);
  }

  void put(byte[] newContent) {
    content = newContent;
    modified++;
  }

  @Override
  public void replace(String name, Content content) {
    throw new UnsupportedOperationException();
  }

  @Override
  public boolean readJournal(Consumer<String> lines) {
    throw new UnsupportedOperationException();
  }

  @Override
  public JournalFile beginJournal(int segment, Content first) {
    throw new UnsupportedOperationException();
  }
}
