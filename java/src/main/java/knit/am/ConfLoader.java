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

/**
 * Finds what lies in Hadoop's configuration folders: resources before those of the class path, and classes that it lacks.
 *
 * <p>An archive of classes allows no folder on the class path. Hadoop's {@code Configuration}, log4j and {@code ServiceLoader}
 * ask the context class loader, which threads inherit: it is to be set before the first class of theirs is loaded.
 */
final class ConfLoader extends URLClassLoader {
  static {
    registerAsParallelCapable();
  }

  /** @param folders separated as in a class path; what is not there is passed over */
  ConfLoader(String folders, ClassLoader parent) {
    super(urls(folders), parent);
  }

  /**
   * For this thread, and those that come of it, when the command line left the folders out of the class path. The JVM's file of
   * options cannot tell it: Java 8 does not read that file.
   */
  static void install(Properties properties) {
    if (Boolean.parseBoolean(properties.getProperty("knit.conf.apart"))) {
      install(properties.getProperty("knit.conf", ""));
    }
  }

  /** For this thread, and those that come of it. */
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
          Log.say("not a folder of configuration: " + Log.reason(error));
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
