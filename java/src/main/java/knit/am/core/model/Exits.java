package knit.am.core.model;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reads YARN's exit statuses and diagnostics of ended containers: the cause of the end, and the program's last output. */
public final class Exits {
  /** Exit statuses of containers that YARN ended (org.apache.hadoop.yarn.api.records.ContainerExitStatus), in words. */
  private static final Map<Integer, String> YARNS_DOING = new HashMap<>();
  /** YARN's ABORTED: released, or lost with its node. */
  public static final int LOST = -100;

  static {
    YARNS_DOING.put(LOST, "was released or lost with its node");
    YARNS_DOING.put(-101, "was lost: its node's disks failed");
    YARNS_DOING.put(-102, "was preempted");
    YARNS_DOING.put(-106, "was killed by the ResourceManager");
    // A NodeManager that shuts down reports that the application is complete.
    YARNS_DOING.put(-107, "was lost: its NodeManager shut down");
    YARNS_DOING.put(-108, "was killed by its node's scheduler");
  }

  /** YARN's INVALID: the container ended before its program began. Mostly, its files could not be copied to the node. */
  private static final int NOT_BEGUN = -1000;
  private static final Pattern FILESYSTEM_AWAY = Pattern.compile("ConnectException|Connection refused|Connection reset"
      + "|SocketTimeoutException|NoRouteToHostException|EOFException|SafeModeException|StandbyException|RetriableException"
      + "|BlockMissingException|Could not obtain block");
  private static final int VIRTUAL_MEMORY = -103;
  private static final int PHYSICAL_MEMORY = -104;
  private static final Pattern USAGE = Pattern.compile(
      "Current usage: (\\S+ ?[A-Z]+) of (\\S+ ?[A-Z]+) physical memory used; (\\S+ ?[A-Z]+) of (\\S+ ?[A-Z]+) virtual memory used");
  private static final Pattern STDERR = Pattern.compile("Last \\d+ bytes of stderr ?:\\s?\n");
  private static final Pattern NEXT_ENTRY = Pattern.compile("\n\\s*\n\\[\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d");
  private static final int MAX_LINES = 40;
  private static final int MAX_LINE = 500;
  /** Characters of a diagnostic line. */
  public static final int MAX_DIAGNOSTICS = 1000;

  /** Prefix of the line on stderr that gives the reason for an attempt's end. */
  public static final String ATTEMPT_ENDS = "this attempt of the ApplicationMaster ends: ";

  private Exits() {}

  /** What YARN did to the container; null if its program ended by itself. */
  public static String yarnsDoing(int exit) {
    return YARNS_DOING.get(exit);
  }

  /** Whether the container's files could not be copied because the filesystem did not serve, which is temporary. */
  public static boolean filesystemAway(int exit, String diagnostics) {
    return exit == NOT_BEGUN && FILESYSTEM_AWAY.matcher(diagnostics).find();
  }

  /** The program's last lines on stderr, oldest first, from YARN's diagnostics. */
  public static List<String> stderr(String diagnostics) {
    Matcher heading = STDERR.matcher(diagnostics);
    int from = -1;
    while (heading.find()) {
      from = heading.end();
    }
    if (from < 0) {
      return Collections.emptyList();
    }
    Matcher next = NEXT_ENTRY.matcher(diagnostics);
    String text = diagnostics.substring(from, next.find(from) ? next.start() : diagnostics.length());
    List<String> lines = new ArrayList<>();
    for (String line : text.split("\r?\n")) {
      String kept = line.replaceAll("\\s+$", "");
      if (!kept.isEmpty()) {
        lines.add(kept.length() > MAX_LINE ? kept.substring(0, MAX_LINE) + "…" : kept);
      }
    }
    return new ArrayList<>(lines.subList(Math.max(0, lines.size() - MAX_LINES), lines.size()));
  }

  /** The cause of the end in words: {@code exited with 3 after 4.1 s}. */
  public static String story(Long startedAt, int exit, String diagnostics, long at) {
    String after = startedAt == null ? "" : " after " + seconds(at - startedAt);
    if (exit == PHYSICAL_MEMORY || exit == VIRTUAL_MEMORY) {
      Matcher usage = USAGE.matcher(diagnostics);
      boolean virtual = exit == VIRTUAL_MEMORY;
      String amounts = usage.find()
          ? ": " + usage.group(virtual ? 3 : 1) + " used of " + usage.group(virtual ? 4 : 2) + (virtual ? " virtual" : " asked")
          : "";
      return "was killed for memory" + amounts + (after.isEmpty() ? "" : "," + after);
    }
    if (exit < 0) {
      return "ended with YARN's status " + exit + after + firstLine(diagnostics);
    }
    return "exited with " + exit + after;
  }

  private static String firstLine(String diagnostics) {
    for (String line : diagnostics.split("\r?\n")) {
      String text = line.replaceFirst("^\\[[-0-9 :.]+\\]", "").trim();
      if (!text.isEmpty()) {
        return ": " + text;
      }
    }
    return "";
  }

  /** One line of at most 1,000 characters. */
  public static String clip(String text) {
    String line = text.replaceAll("[\\p{Cntrl}]+", " ").trim();
    return line.length() <= MAX_DIAGNOSTICS ? line : line.substring(0, MAX_DIAGNOSTICS - 1) + "…";
  }

  public static String seconds(long milliseconds) {
    return String.format(Locale.ROOT, "%.1f s", milliseconds / 1000.0);
  }
}
