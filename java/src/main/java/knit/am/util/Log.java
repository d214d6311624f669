package knit.am.util;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;

/** Writes lines to stderr. Without slf4j, whose binding depends on the cluster's class path. */
public final class Log {
  private static final long STARTED = started();

  private Log() {}

  public static void line(String text) {
    System.err.println("knit: " + text);
  }

  /** Write that a phase is reached, with the milliseconds since the process began and its processor time. */
  public static void phase(String name) {
    line(name + " at " + (System.currentTimeMillis() - STARTED) + " ms" + processor());
  }

  /** When the process began. The JVM's bean for this would cost a tenth of a second. */
  private static long started() {
    long now = System.currentTimeMillis();
    try {
      String uptime = new String(Files.readAllBytes(Paths.get("/proc/uptime")), StandardCharsets.US_ASCII);
      double began = Long.parseLong(stat()[19]) / 100.0; // since the machine's start
      return now - Math.round((Double.parseDouble(uptime.split(" ")[0]) - began) * 1000);
    } catch (IOException | RuntimeException notLinux) {
      return now;
    }
  }

  private static String processor() {
    try {
      String[] fields = stat();
      return ", " + (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) * 10 + " ms of processor time";
    } catch (IOException | RuntimeException notLinux) {
      return "";
    }
  }

  /** `/proc/self/stat` from its third field on (the second may contain spaces). Times are in hundredths of a second. */
  private static String[] stat() throws IOException {
    String stat = new String(Files.readAllBytes(Paths.get("/proc/self/stat")), StandardCharsets.US_ASCII);
    return stat.substring(stat.lastIndexOf(')') + 2).split(" ");
  }

  /** An error and its causes in one line. */
  public static String reason(Throwable error) {
    StringBuilder text = new StringBuilder();
    for (Throwable cause = error; cause != null && text.length() < 2000; cause = cause.getCause()) {
      String message = String.valueOf(cause.getMessage()).split("\n", 2)[0];
      if (text.indexOf(message) < 0) {
        text.append(text.length() == 0 ? "" : ": ").append(cause.getClass().getSimpleName()).append(" ").append(message);
      }
    }
    return text.toString();
  }
}
