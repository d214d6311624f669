package knit.am;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.stream.Stream;
import knit.am.ClassArchiveOptions.Given;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Archives of classes on a node, over the lives of several ApplicationMasters. */
class ClassArchiveTest {
  private static final byte[] CONTENT = new byte[100_000];
  @TempDir
  Path user;
  private Path folder;
  private long now = System.currentTimeMillis();

  @BeforeEach
  void place() {
    folder = user.resolve("knit");
  }

  private ClassArchive process(Given given, ClassArchive.Dump dump) throws IOException {
    return new ClassArchive(folder, "a", given, true, () -> true, dump);
  }

  private ClassArchive process(Given given) throws IOException {
    return process(given, file -> Files.write(file, CONTENT));
  }

  private ClassArchiveOptions options() {
    return ClassArchiveOptions.read(folder.resolve("a.options"));
  }

  /** What the command line would give to the next process. */
  private Given next() {
    ClassArchiveOptions options = options();
    return options == null ? Given.NOTHING : options.given;
  }

  private void live(Given given) throws IOException {
    ClassArchive process = process(given);
    process.began();
    process.finish(now);
  }

  private String names() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return String.join(" ", files.map(file -> file.getFileName().toString()).sorted().toArray(String[]::new));
    }
  }

  private static String mode(Path file) throws IOException {
    return PosixFilePermissions.toString(Files.getPosixFilePermissions(file));
  }

  /** The archive is mapped while the work is done. */
  private void mapped(Work work) throws Exception {
    try (FileChannel channel = FileChannel.open(folder.resolve("a.jsa"))) {
      java.nio.MappedByteBuffer map = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
      work.run();
      assertEquals(0, map.get(0));
    }
  }

  private interface Work {
    void run() throws Exception;
  }

  @Test
  void theFirstAsksTheSecondRecordsTheThirdUses() throws Exception {
    live(Given.NOTHING);
    assertEquals("a.options", names());
    assertEquals("rwx------", mode(folder));
    assertEquals("rw-------", mode(folder.resolve("a.options")));
    assertEquals(Given.RECORD, next());
    live(Given.RECORD);
    assertEquals("a.jsa a.options", names());
    assertEquals("rw-------", mode(folder.resolve("a.jsa")));
    assertEquals(Given.USE, next());
    assertEquals(1, options().tries);
    mapped(() -> live(Given.USE));
    assertEquals(0, options().tries);
    assertEquals("-Dknit.archive.size=100000\n-Dknit.archive.given=USE\n-Dknit.archive.tries=0\n-XX:SharedArchiveFile=" + folder
        + "/a.jsa\n-XX:+VerifySharedSpaces\n-Xlog:disable\n", new String(Files.readAllBytes(folder.resolve("a.options"))));
  }

  @Test
  void oneThatIsNotMappedIsMadeAnewThreeTimesThenADayLater() throws Exception {
    live(Given.NOTHING);
    for (int turn = 1; turn <= ClassArchive.TRIES; turn++) {
      live(Given.RECORD);
      assertEquals(turn, options().tries);
      live(Given.USE);
      assertFalse(Files.exists(folder.resolve("a.jsa")));
      assertEquals(turn < ClassArchive.TRIES ? Given.RECORD : Given.PAUSE, next());
    }
    now += ClassArchive.PAUSE / 2;
    live(Given.PAUSE);
    assertEquals(Given.PAUSE, next());
    now += ClassArchive.PAUSE;
    live(Given.PAUSE);
    assertEquals(Given.RECORD, next());
    live(Given.RECORD);
    live(Given.USE);
    assertEquals(Given.PAUSE, next());
  }

  @Test
  void oneThatIsKilledWhileItIsRecordedIsFollowedByAnotherAfterAWhile() throws Exception {
    live(Given.NOTHING);
    process(Given.RECORD).began();
    assertEquals(Given.PAUSE, next());
    live(Given.PAUSE);
    assertEquals(Given.PAUSE, next());
    now += 2 * ClassArchive.RECORD_TIME;
    live(Given.PAUSE);
    assertEquals(Given.RECORD, next());
    assertEquals(1, options().tries);
  }

  /** With an archive, the command line does not have classes recorded. */
  @Test
  void anArchiveWhoseOptionsWereNotWrittenIsRemoved() throws Exception {
    live(Given.NOTHING);
    process(Given.RECORD).began();
    Files.write(folder.resolve("a.jsa"), CONTENT); // and is killed
    now += 2 * ClassArchive.RECORD_TIME;
    live(Given.NOTHING);
    assertEquals(Given.RECORD, next());
    assertEquals("a.options", names());
    Files.write(folder.resolve("a.jsa"), CONTENT);
    live(Given.NOTHING);
    assertEquals("a.options", names());
    live(Given.RECORD);
    assertEquals(Given.USE, next());
  }

  @Test
  void aClockThatIsSetBackDoesNotStopTheTries() throws Exception {
    live(Given.NOTHING);
    process(Given.RECORD).began();
    now -= 1000 * ClassArchive.PAUSE;
    live(Given.PAUSE);
    assertEquals(Given.RECORD, next());
  }

  @Test
  void eachFailedTryIsFollowedByALongerPause() {
    assertEquals(ClassArchive.RECORD_TIME, ClassArchive.pause(ClassArchive.TRIES - 1));
    assertEquals(ClassArchive.PAUSE, ClassArchive.pause(ClassArchive.TRIES));
    assertEquals(4 * ClassArchive.PAUSE, ClassArchive.pause(ClassArchive.TRIES + 2));
    assertEquals(32 * ClassArchive.PAUSE, ClassArchive.pause(1000));
  }

  @Test
  void filesOfProcessesThatWereKilledAreRemovedBeforeAnotherArchiveIsWritten() throws Exception {
    live(Given.NOTHING);
    Files.write(folder.resolve("a.1.tmp"), CONTENT);
    Files.setLastModifiedTime(folder.resolve("a.1.tmp"), FileTime.fromMillis(now - 2 * ClassArchive.TEMPORARY_AGE));
    process(Given.RECORD, file -> {
      throw new IOException("killed here, too");
    }).finish(now);
    assertEquals("a.options", names());
  }

  @Test
  void oneThatBeginsLaterLeavesTheArchiveOfAnother() throws Exception {
    live(Given.NOTHING);
    ClassArchive later = process(Given.RECORD);
    live(Given.RECORD);
    later.began();
    assertEquals(Given.USE, next());
  }

  @Test
  void anArchiveWithWhichAJvmDidNotStartIsRemoved() throws Exception {
    live(Given.NOTHING);
    live(Given.RECORD);
    Path mark = folder.resolve("a.started");
    Files.write(mark, new byte[0]);
    live(Given.NOTHING);
    assertEquals("a.jsa a.options a.started", names()); // it may be about to start
    Files.setLastModifiedTime(mark, FileTime.fromMillis(now - 2 * ClassArchive.START_TIME));
    new ClassArchive(folder, "a", Given.NOTHING, true, () -> false, file -> { }).finish(now);
    assertEquals(Given.RECORD, next());
    assertEquals("a.options", names());
    Files.write(mark, new byte[0]);
    Files.setLastModifiedTime(mark, FileTime.fromMillis(now - 2 * ClassArchive.START_TIME));
    live(Given.NOTHING);
    assertEquals(Given.PAUSE, next());
    assertEquals(ClassArchive.TRIES, options().tries);
    assertEquals("a.options", names());
  }

  @Test
  void aProcessThatBeganRemovesItsMark() throws Exception {
    live(Given.NOTHING);
    for (Given given : new Given[] {Given.RECORD, Given.USE, Given.PAUSE}) {
      Files.write(folder.resolve("a.started"), new byte[0]);
      process(Given.NOTHING).began();
      assertTrue(Files.exists(folder.resolve("a.started")));
      process(given).began();
      assertFalse(Files.exists(folder.resolve("a.started")));
    }
  }

  @Test
  void noClassesAreRecordedWithAnAgent() {
    assertFalse(ClassSharing.agents(Arrays.asList("-Xmx128m", "-Dx=-javaagent:a.jar")));
    for (String agent : new String[] {"-javaagent:/a.jar=b", "-agentlib:jdwp=x", "-agentpath:/a.so", "-Xrunjdwp:x"}) {
      assertTrue(ClassSharing.agents(Arrays.asList("-Xmx128m", agent)), agent);
    }
  }

  @Test
  void noArchiveIsWrittenWhenTheHeapHasGrown() {
    assertTrue(ClassSharing.spare(128 << 20, 16 << 20));
    assertFalse(ClassSharing.spare(128 << 20, 100 << 20));
  }

  @Test
  void whatCannotBeWrittenIsTriedAgainADayLater() throws Exception {
    live(Given.NOTHING);
    ClassArchive process = process(Given.RECORD, file -> {
      Files.write(file, new byte[100]);
      Files.write(Paths.get(file + ".temp"), new byte[100]);
      throw new IOException("No space left on device");
    });
    process.began();
    process.finish(now);
    assertEquals("a.options", names());
    now += 2 * ClassArchive.RECORD_TIME;
    live(Given.PAUSE);
    assertEquals(Given.PAUSE, next());
    process(Given.RECORD, file -> Files.write(file, new byte[100])).finish(now);
    assertEquals("a.options", names());
    assertEquals(Given.PAUSE, next());
  }

  @Test
  void twoAtOnceLeaveOne() throws Exception {
    live(Given.NOTHING);
    ClassArchive one = process(Given.RECORD);
    ClassArchive other = process(Given.RECORD, file -> {
      throw new IOException("must not be asked");
    });
    one.began();
    other.began();
    one.finish(now);
    other.finish(now);
    live(Given.NOTHING); // began before there was one
    assertEquals(Given.USE, next());
    assertArrayEquals(CONTENT, Files.readAllBytes(folder.resolve("a.jsa")));
  }

  @Test
  void damageThatTheCommandLineHasSeenIsMended() throws Exception {
    for (Work damage : new Work[] {
        () -> Files.write(folder.resolve("a.jsa"), new byte[7]),
        () -> Files.delete(folder.resolve("a.jsa")),
        () -> Files.setPosixFilePermissions(folder.resolve("a.jsa"), PosixFilePermissions.fromString("rw-rw-rw-")),
        () -> Files.setPosixFilePermissions(folder.resolve("a.options"), PosixFilePermissions.fromString("rw-r--r--")),
        () -> Files.write(folder.resolve("a.options"), "nonsense".getBytes())}) {
      live(Given.NOTHING);
      live(Given.RECORD);
      damage.run();
      live(Given.NOTHING);
      assertEquals(Given.RECORD, next());
      assertEquals("a.options", names());
      assertEquals("rw-------", mode(folder.resolve("a.options")));
      Files.delete(folder.resolve("a.options"));
    }
  }

  @Test
  void anArchiveIsDistrustedAfterAnAttemptThatLeftNothing() throws Exception {
    live(Given.NOTHING);
    live(Given.RECORD);
    ClassArchive second = new ClassArchive(folder, "a", Given.NOTHING, false, () -> true, file -> { });
    second.finish(now);
    assertEquals(Given.USE, next());
    Files.write(folder.resolve("a.started"), new byte[0]);
    second.distrust();
    assertEquals("a.options", names());
    assertEquals(Given.RECORD, next());
    second.distrust(); // the JVM may not start when it is to record
    assertEquals(Given.PAUSE, next());
    now += ClassArchive.PAUSE / 2;
    live(Given.PAUSE);
    assertEquals(Given.PAUSE, next());
  }

  @Test
  void aFolderThatOthersMayEnterOrALinkIsLeftAlone() throws Exception {
    Files.createDirectory(folder);
    Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxr-xr-x"));
    live(Given.NOTHING);
    assertEquals("", names());
    Files.delete(folder);
    Path elsewhere = Files.createDirectory(user.resolve("elsewhere"),
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    Files.createSymbolicLink(folder, elsewhere);
    for (Given given : Given.values()) {
      live(given);
      assertEquals("", names());
    }
  }

  @Test
  void whereTheJvmCannotRecordNothingIsAskedFor() throws Exception {
    new ClassArchive(folder, "a", Given.NOTHING, true, () -> false, file -> { }).finish(now);
    assertFalse(Files.exists(folder));
  }

  /** With an archive that it cannot use, the JVM has none of its own classes either. */
  @Test
  void oneThatIsNotMappedIsRenewedWhateverElseIsNot() throws Exception {
    live(Given.NOTHING);
    live(Given.RECORD);
    new ClassArchive(folder, "a", Given.USE, true, () -> false, file -> { }).finish(now);
    assertEquals(Given.RECORD, next());
  }

  @Test
  void whereNothingCanBeWrittenNothingHappens() throws Exception {
    folder = user.resolve("missing").resolve("knit");
    for (Given given : Given.values()) {
      live(given);
    }
    assertFalse(Files.exists(folder));
  }

  @Test
  void threeArchivesAreKeptThoseUsedLast() throws Exception {
    live(Given.NOTHING);
    for (String name : new String[] {"b", "c", "d", "e"}) {
      Files.write(folder.resolve(name + ".jsa"), CONTENT);
      Files.write(folder.resolve(name + ".options"), new byte[0]);
    }
    age("b", 1);
    age("c", 3);
    age("d", 2);
    Files.delete(folder.resolve("e.options"));
    Files.write(folder.resolve("f.options"), new byte[0]);
    age("f", 91);
    Files.write(folder.resolve("a.1.tmp"), CONTENT);
    Files.write(folder.resolve("a.2.tmp.temp"), CONTENT);
    Files.setLastModifiedTime(folder.resolve("a.1.tmp"), FileTime.fromMillis(now - 2 * ClassArchive.TEMPORARY_AGE));
    live(Given.RECORD);
    assertEquals("a.2.tmp.temp a.jsa a.options b.jsa b.options c.options d.jsa d.options", names());
  }

  private void age(String name, int days) throws IOException {
    Files.setLastModifiedTime(folder.resolve(name + ".options"), FileTime.fromMillis(now - days * ClassArchive.PAUSE));
  }

  @Test
  void useKeepsAnArchiveYoung() throws Exception {
    live(Given.NOTHING);
    live(Given.RECORD);
    mapped(() -> live(Given.USE));
    age("a", 2);
    mapped(() -> live(Given.USE));
    assertTrue(options().written > now - ClassArchive.PAUSE);
  }

  @Test
  void theFolderIsInTheFirstLocalFolderOfTheUser() {
    assertEquals(Paths.get("/d/1/usercache/al.i-ce@X/knit"),
        ClassArchive.folder("/d/1/usercache/al.i-ce@X/appcache/application_1_0001,/d/2/usercache/bob/appcache/application_1_0001"));
    for (String odd : new String[] {null, "", "relative/usercache/a/appcache/b", "/d/usercache/a b/appcache/c", "/d/appcache/a",
        "/d/usercache/a$x/appcache/b", "/d/usercache/a\n/appcache/b", "/d/usercache/ä/appcache/b", "/d/usercache/a"}) {
      assertNull(ClassArchive.folder(odd), odd);
    }
  }

  @Test
  void onlyJvmsThatCanDoIt() {
    assertTrue(ClassSharing.possible("17", "OpenJDK 64-Bit Server VM"));
    assertTrue(ClassSharing.possible("21", "Java HotSpot(TM) 64-Bit Server VM"));
    for (String version : new String[] {"1.8", "9", "11", "16"}) {
      assertFalse(ClassSharing.possible(version, "OpenJDK 64-Bit Server VM"), version);
    }
    assertFalse(ClassSharing.possible("17", "Eclipse OpenJ9 VM"));
  }

  @Test
  void onlyAClassPathThatCanDoWithoutItsFolders() throws Exception {
    Path conf = Files.createDirectory(user.resolve("conf"));
    Path jar = Files.createFile(user.resolve("x.jar"));
    String both = String.join(File.pathSeparator, jar.toString(), conf.toString(), jar.toString());
    assertTrue(ClassSharing.separable(both, conf.toString()));
    assertTrue(ClassSharing.separable(jar.toString(), ""));
    assertTrue(ClassSharing.separable(jar.toString(), "/not/there"));
    assertFalse(ClassSharing.separable(both, ""));
    assertFalse(ClassSharing.separable(both, conf + File.pathSeparator + jar));
    assertFalse(ClassSharing.separable(both, conf + File.pathSeparator + user + "/*"));
  }
}
