package knit.am;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import javax.management.ObjectName;

/** Class data sharing in this JVM: whether it can record its classes, and the dump of an archive. */
final class ClassSharing {
  /** Options that do not go together with ours; a file of arguments may have such. The client looks at the Java command. */
  private static final Pattern OPTIONS = Pattern.compile("Archive|Xshare|VMOptionsFile|@");
  /** A JVM with an agent does not start when it is to record. */
  private static final Pattern AGENTS = Pattern.compile("-(javaagent:|agentlib:|agentpath:|Xrun).*");
  /** The heap that is not yet committed when an archive is dumped, at least: the dump needs as much memory beside the heap. */
  private static final long SPARE = 64L << 20;

  private ClassSharing() {}

  /** Whether this JVM can write archives while it runs. */
  static boolean possible(String version, String vm) {
    return version.matches("[0-9]+") && Integer.parseInt(version) >= 17 && (vm.startsWith("OpenJDK ") || vm.startsWith("Java HotSpot"));
  }

  /**
   * Whether the class path without the folders of configuration loads the same: those are folders, and no others are on it.
   */
  static boolean separable(String classpath, String conf) {
    List<String> folders = Arrays.asList(conf.split(File.pathSeparator));
    for (String folder : folders) {
      if (folder.contains("*") || new File(folder).isFile()) {
        return false;
      }
    }
    for (String entry : classpath.split(File.pathSeparator)) {
      if (!folders.contains(entry) && new File(entry).isDirectory()) {
        return false;
      }
    }
    return true;
  }

  /** Whether the JVM would start when it is told to record: it wants an archive of its own classes, and no other such option. */
  static boolean recordable() {
    String more = System.getenv("JDK_JAVA_OPTIONS") + System.getenv("JAVA_TOOL_OPTIONS") + System.getenv("_JAVA_OPTIONS");
    try {
      return !OPTIONS.matcher(more).find() && !agents(ManagementFactory.getRuntimeMXBean().getInputArguments()) && mapped(".jsa");
    } catch (IOException error) {
      return false;
    }
  }

  /** Whether the JVM's arguments, which include those of its environment variables, name an agent. */
  static boolean agents(List<String> arguments) {
    return arguments.stream().anyMatch(argument -> AGENTS.matcher(argument).matches());
  }

  /** Whether the container's memory suffices for a dump: 128 MiB of it are beside the heap, and a dump may need more. */
  static boolean spare(long heap, long committed) {
    return heap - committed >= SPARE;
  }

  /** Whether a file with this in its path is mapped. */
  static boolean mapped(String part) throws IOException {
    for (String line : Files.readAllLines(Paths.get("/proc/self/maps"), StandardCharsets.ISO_8859_1)) {
      if (line.contains(part)) {
        return true;
      }
    }
    return false;
  }

  /** As `jcmd VM.cds dynamic_dump` does; the JVM's own words about it are nobody's. */
  static void dump(Path file) throws Exception {
    if (!spare(Runtime.getRuntime().maxMemory(), Runtime.getRuntime().totalMemory())) {
      throw new IOException("less than " + (SPARE >> 20) + " MiB of the heap are unused");
    }
    PrintStream out = System.out;
    System.setOut(new PrintStream(new OutputStream() {
      @Override
      public void write(int single) {
        // nowhere
      }
    }));
    try {
      ManagementFactory.getPlatformMBeanServer().invoke(new ObjectName("com.sun.management:type=DiagnosticCommand"), "vmCds",
          new Object[] {new String[] {"dynamic_dump", file.toString()}}, new String[] {String[].class.getName()});
    } finally {
      System.setOut(out);
    }
  }
}
