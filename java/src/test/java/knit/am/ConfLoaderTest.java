package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.io.File;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;
import org.apache.hadoop.conf.Configuration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What lies in folders of configuration that are not on the class path. */
class ConfLoaderTest {
  @TempDir
  Path folder;

  private <T> T inside(Callable<T> work) throws Exception {
    FutureTask<T> task = new FutureTask<>(work);
    Thread thread = new Thread(() -> {
      ConfLoader.install("/not/there" + File.pathSeparator + File.pathSeparator + folder);
      Thread heir = new Thread(task);
      heir.start();
    });
    thread.start();
    return task.get();
  }

  @Test
  void hadoopFindsItsFiles() throws Exception {
    Files.write(folder.resolve("core-site.xml"),
        "<configuration><property><name>a.b</name><value>c</value></property></configuration>".getBytes());
    assertEquals("c", inside(() -> new Configuration().get("a.b")));
    assertEquals("file:///", inside(() -> new Configuration().get("fs.defaultFS"))); // of core-default.xml in a jar
  }

  @Test
  void itIsInstalledWhenTheCommandLineLeftTheFoldersOut() throws Exception {
    FutureTask<Object> task = new FutureTask<>(() -> {
      Properties properties = new Properties();
      properties.setProperty("knit.conf", folder.toString());
      ClassLoader before = Thread.currentThread().getContextClassLoader();
      ConfLoader.install(properties);
      assertSame(before, Thread.currentThread().getContextClassLoader());
      properties.setProperty("knit.conf.apart", "true");
      ConfLoader.install(properties);
      Files.write(folder.resolve("a.txt"), new byte[0]);
      return Thread.currentThread().getContextClassLoader().getResource("a.txt");
    });
    new Thread(task).start();
    assertEquals(folder.resolve("a.txt").toUri().toURL(), task.get());
  }

  @Test
  void theFolderComesFirst() throws Exception {
    Files.write(folder.resolve("core-default.xml"), "<configuration/>".getBytes());
    assertEquals(folder.resolve("core-default.xml").toUri().toURL(),
        inside(() -> Thread.currentThread().getContextClassLoader().getResource("core-default.xml")));
    assertEquals(2, inside(() -> Collections.list(Thread.currentThread().getContextClassLoader().getResources("core-default.xml"))
        .size()));
  }

  @Test
  void classesOfTheFolderAreFoundAndOnesOfTheClassPathStay() throws Exception {
    String name = Plugin.class.getName().replace('.', '/') + ".class";
    byte[] code;
    try (InputStream in = Plugin.class.getClassLoader().getResourceAsStream(name)) {
      code = new byte[in.available()];
      assertEquals(code.length, in.read(code));
    }
    // The same class under a name of equal length that nobody else has.
    String renamed = new String(code, "ISO-8859-1").replace("ConfLoaderTest$Plugin", "ConfLoaderTest$Plugon");
    Path file = folder.resolve(name.replace("Plugin", "Plugon"));
    Files.createDirectories(file.getParent());
    Files.write(file, renamed.getBytes("ISO-8859-1"));
    assertNotNull(inside(() -> new Configuration().getClassByName("knit.am.ConfLoaderTest$Plugon")));
    assertSame(Plugin.class, inside(() -> new Configuration().getClassByName(Plugin.class.getName())));
  }

  static final class Plugin {
  }
}
