package knit.am.gateway;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The application's folder, here on the local file system; what only HDFS has is tested with the embedded cluster. */
class HdfsApplicationFolderTest {
  @TempDir
  Path staging;

  private HdfsApplicationFolder attempt(int number) {
    Configuration raw = new Configuration();
    raw.set("fs.file.impl", RawLocalFileSystem.class.getName()); // the one with checksums does not flush
    raw.set("fs.file.impl.disable.cache", "true");
    return new HdfsApplicationFolder(raw, staging.toUri().toString(), "application_1_0001", number);
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  private List<String> names() {
    String[] names = staging.resolve("apps/application_1_0001").toFile().list((folder, name) -> !name.endsWith(".crc"));
    Arrays.sort(names);
    return Arrays.asList(names);
  }

  private static ApplicationFolder.Content content(String text) {
    return out -> out.write(bytes(text));
  }

  @Test
  void whatIsBeingWrittenAtTheEndIsEnded() throws Exception {
    HdfsApplicationFolder store = attempt(1);
    CountDownLatch begun = new CountDownLatch(1);
    CountDownLatch goOn = new CountDownLatch(1);
    Thread slow = new Thread(() -> {
      try {
        store.replace("master", out -> {
          begun.countDown();
          try {
            goOn.await();
          } catch (InterruptedException error) {
            throw new IOException(error);
          }
          out.write('x');
        });
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    });
    slow.start();
    begun.await();
    assertFalse(store.close(10));
    assertEquals(Arrays.asList(".master.1"), names());
    goOn.countDown();
    assertTrue(store.close(10_000));
    assertEquals(Arrays.asList("master"), names());
    assertThrows(IOException.class, () -> store.replace("result.json", content("late")));
    assertThrows(IOException.class, () -> store.beginJournal(1, content("late\n")));
    assertEquals(Arrays.asList("master"), names());
    slow.join();
  }

  @Test
  void attemptsFollowOneAnother() throws Exception {
    HdfsApplicationFolder first = attempt(1);
    first.beginJournal(1, content("a\n"));
    first.replace("master", content("first"));
    ApplicationFolder.JournalFile journal = first.beginJournal(2, content("a\nb\n"));
    journal.append(bytes("c\n"));
    journal.check();
    assertEquals(Arrays.asList("journal-000001-000002", "master"), names());

    HdfsApplicationFolder second = attempt(2);
    List<String> lines = new ArrayList<>();
    assertTrue(second.readJournal(lines::add));
    assertEquals(Arrays.asList("a", "b", "c"), lines);
    assertThrows(JournalFiles.Superseded.class, journal::check);
    assertThrows(JournalFiles.Superseded.class, () -> first.beginJournal(3, content("late\n")));
    assertThrows(JournalFiles.Superseded.class, () -> first.replace("master", content("late")));
    second.replace("master", content("second"));
    second.beginJournal(1, content("a\nb\nc\n")).check();
    assertEquals(Arrays.asList(".master.1", "attempt-000002", "journal-000002-000001", "master"), names());
    assertEquals("second", new String(Files.readAllBytes(staging.resolve("apps/application_1_0001/master"))));
  }

  @Test
  void aFileOfTheClientIsReadOnceAndOnlyIfItIsSmall() throws Exception {
    HdfsApplicationFolder store = attempt(1);
    assertNull(store.read("tokens", -1, 10));
    store.replace("tokens", content("one"));
    ApplicationFolder.ClientFile file = store.read("tokens", -1, 3);
    assertEquals("one", new String(file.content, StandardCharsets.US_ASCII));
    assertNull(store.read("tokens", file.modified, 3));
    Path path = staging.resolve("apps/application_1_0001/tokens");
    assertTrue(path.toFile().setLastModified(file.modified - 60_000)); // the NameNode's clock may have been set back
    assertEquals(3, store.read("tokens", file.modified, 3).content.length);
    assertTrue(assertThrows(IOException.class, () -> store.read("tokens", -1, 2)).getMessage().contains("3 bytes"));
    Files.delete(path);
    Files.createDirectory(path);
    assertThrows(IOException.class, () -> store.read("tokens", -1, 1 << 20));
  }

  @Test
  void thereMayBeNoJournal() throws Exception {
    assertFalse(attempt(2).readJournal(line -> { }));
  }
}
