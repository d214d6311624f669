package knit.am;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import knit.am.gateway.ApplicationFolder;
import knit.am.gateway.JournalFiles;
import knit.am.json.Json;

/** The application's folder in memory, as one attempt sees it; the first writes can fail. */
class FakeApplicationFolder implements ApplicationFolder {
  final FakeHdfs hdfs;
  final Map<String, String> files;
  volatile int faults;
  volatile int begun;
  private final int attempt;
  private final JournalFiles journals;

  FakeApplicationFolder() {
    this(new FakeHdfs(), new ConcurrentHashMap<>(), 2);
  }

  private FakeApplicationFolder(FakeHdfs hdfs, Map<String, String> files, int attempt) {
    this.hdfs = hdfs;
    this.files = files;
    this.attempt = attempt;
    journals = new JournalFiles(hdfs.new Process(), attempt, 1_000);
  }

  /** The same folder for the next attempt. */
  FakeApplicationFolder next() {
    return new FakeApplicationFolder(hdfs, files, attempt + 1);
  }

  @Override
  public synchronized void replace(String name, Content content) throws IOException {
    if (faults > 0) {
      faults--;
      throw new IOException("no NameNode");
    }
    journals.check();
    ByteArrayOutputStream whole = new ByteArrayOutputStream();
    content.writeTo(whole);
    files.put(name, new String(whole.toByteArray(), StandardCharsets.UTF_8));
  }

  @Override
  public ClientFile read(String name, long known, int limit) {
    return null;
  }

  @Override
  public boolean readJournal(Consumer<String> lines) throws IOException {
    return journals.takeOver(lines);
  }

  @Override
  public JournalFile beginJournal(int segment, Content first) throws IOException {
    JournalFile file = journals.begin(segment, first);
    begun++;
    return file;
  }

  Map<?, ?> json(String name) {
    return (Map<?, ?>) Json.parse(files.get(name).getBytes(StandardCharsets.UTF_8));
  }
}
