package knit.am.core.effects;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import knit.am.core.model.Exits;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * What happened when, numbered from 1: `GET events` and the timeline of result.json. Bounded: the first and the newest entries
 * are kept.
 */
public final class Timeline {
  static final int BEGINNING = 1_000;
  static final int NEWEST = 10_000;
  /** Entries in result.json. */
  public static final int LIMIT = 2_000;

  private final Changes changes;
  private final List<Map<String, Object>> first = new ArrayList<>();
  private final Deque<Map<String, Object>> last = new ArrayDeque<>();
  private long number;

  Timeline(Changes changes) {
    this.changes = changes;
  }

  public void add(long at, String event, String container, String detail) {
    Map<String, Object> entry = Json.map("seq", ++number, "at", at, "event", event);
    if (container != null) {
      entry.put("container", container);
    }
    if (detail != null && !detail.isEmpty()) {
      entry.put("detail", Exits.clip(detail));
    }
    keep(entry);
    changes.put(RecordKind.TIMELINE, Long.toString(number), entry);
  }

  private void keep(Map<String, Object> entry) {
    if (first.size() < BEGINNING) {
      first.add(entry);
      return;
    }
    if (last.size() == NEWEST) {
      changes.put(RecordKind.TIMELINE, last.removeFirst().get("seq").toString(), null);
    }
    last.addLast(entry);
  }

  /** The number of the newest entry, 0 when there is none. */
  public long number() {
    return number;
  }

  /** At most `most` entries after a number, oldest first. */
  public List<Map<String, Object>> after(long seq, int most) {
    List<Map<String, Object>> found = new ArrayList<>();
    for (Iterable<Map<String, Object>> half : halves(seq)) {
      for (Map<String, Object> entry : half) {
        if (found.size() < most && ((Number) entry.get("seq")).longValue() > seq) {
          found.add(entry);
        }
      }
    }
    return found;
  }

  private List<Iterable<Map<String, Object>>> halves(long seq) {
    List<Iterable<Map<String, Object>>> halves = new ArrayList<>();
    if (seq < BEGINNING) {
      halves.add(first);
    }
    halves.add(last);
    return halves;
  }

  /** The number of the first entry after those that were dropped; 1 when none was. */
  public long firstKept() {
    boolean gap = !last.isEmpty() && ((Number) last.getFirst().get("seq")).longValue() > BEGINNING + 1;
    return gap ? ((Number) last.getFirst().get("seq")).longValue() : 1;
  }

  /** The entries for result.json. */
  public List<Map<String, Object>> timeline() {
    List<Map<String, Object>> all = new ArrayList<>(first);
    int skip = Math.max(0, last.size() - (LIMIT - BEGINNING));
    for (Map<String, Object> entry : last) {
      if (skip-- <= 0) {
        all.add(entry);
      }
    }
    return all;
  }

  /** Add all entries to the records of a new journal. */
  public void dump(Records records) {
    first.forEach(entry -> records.put(RecordKind.TIMELINE, entry.get("seq").toString(), entry));
    last.forEach(entry -> records.put(RecordKind.TIMELINE, entry.get("seq").toString(), entry));
  }

  /** Restore one entry from the journal. Call it in the order of the numbers. */
  public void restore(Fields entry) {
    number = entry.whole("seq", 1, Long.MAX_VALUE);
    Map<String, Object> kept = Json.map("seq", number, "at", entry.whole("at", 0, Long.MAX_VALUE), "event",
        entry.text("event"));
    for (String name : new String[] {"container", "detail"}) {
      if (entry.has(name)) {
        kept.put(name, entry.text(name));
      }
    }
    keep(kept);
  }
}
