package knit.am;

import java.io.File;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Enumeration;
import java.util.List;
import java.util.Properties;
import knit.am.util.Log;

/**
 * Loads from Hadoop's configuration folders: resources before those of the class path, and classes that the class path lacks.
 *
 * <p>An archive of classes allows no folder on the class path. Hadoop's {@code Configuration}, log4j and {@code ServiceLoader}
 * use the context class loader, which threads inherit. Set it before the first of their classes is loaded.
 */
final class ConfLoader extends URLClassLoader {
  static {
    registerAsParallelCapable();
  }

  /** @param folders separated as in a class path; missing ones are ignored */
  ConfLoader(String folders, ClassLoader parent) {
    super(urls(folders), parent);
  }

  /**
   * Use it for this thread and the threads that it starts, if the command line left the folders out of the class path. The JVM's
   * file of options cannot state that: Java 8 does not read that file.
   */
  static void install(Properties properties) {
    if (Boolean.parseBoolean(properties.getProperty("knit.conf.apart"))) {
      install(properties.getProperty("knit.conf", ""));
    }
  }

  /** Use it for this thread and the threads that it starts. */
  static void install(String folders) {
    Thread.currentThread().setContextClassLoader(new ConfLoader(folders, ConfLoader.class.getClassLoader()));
  }

  private static URL[] urls(String folders) {
    List<URL> found = new ArrayList<>();
    for (String folder : folders.split(File.pathSeparator)) {
      if (!folder.isEmpty()) {
        try {
          found.add(new File(folder).toURI().toURL());
        } catch (IOException error) {
          Log.line("not a folder of configuration: " + Log.reason(error));
        }
      }
    }
    return found.toArray(new URL[0]);
  }

  @Override
  public URL getResource(String name) {
    URL own = findResource(name);
    return own != null ? own : super.getResource(name);
  }

  @Override
  public Enumeration<URL> getResources(String name) throws IOException {
    List<URL> all = Collections.list(findResources(name));
    all.addAll(Collections.list(getParent().getResources(name)));
    return Collections.enumeration(all);
  }
}
