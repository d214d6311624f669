package knit.am.core.store;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import knit.am.core.effects.Effects;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.message.Call;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * The key-value store: JSON values by key. Each change has a revision, which only grows. Callers use it to compare and set, to
 * wait for a change, and to list the changes since.
 */
final class Kv {
  static final int MAX_KEY = 512;
  static final int LIMIT = 16 << 20;
  static final int MAX_PAGE = 512 << 10;
  private static final int MAX_GONE = 10_000;
  private static final int OVERHEAD = 64;
  private static final String TOPIC = "kv ";
  private static final String PREFIXES = "kvs ";

  private static final class Entry {
    final String key;
    final Json.Raw value;
    final long revision;

    Entry(String key, Json.Raw value, long revision) {
      this.key = key;
      this.value = value;
      this.revision = revision;
    }

    long size() {
      return key.length() + value.text.length() + OVERHEAD;
    }

    Map<String, Object> view() {
      return Json.map("key", key, "value", value, "revision", revision);
    }
  }

  private static final class Gone {
    final String key;
    final long revision;

    Gone(String key, long revision) {
      this.key = key;
      this.revision = revision;
    }
  }

  private final Effects effects;
  private final TreeMap<String, Entry> entries = new TreeMap<>();
  private final TreeMap<Long, Entry> byRevision = new TreeMap<>();
  private final Deque<Gone> gone = new ArrayDeque<>();
  private final Map<String, Long> counters = new HashMap<>();
  private long revision;
  /** Deletions up to this revision are dropped. */
  private long forgotten;
  private long size;

  Kv(Effects effects) {
    this.effects = effects;
  }

  void put(Call.KvPut event) {
    Entry now = entries.get(event.key);
    long is = now == null ? 0 : now.revision;
    if (event.expect != null && event.expect != is) {
      effects.refuse(event, 409, "conflict", "\"" + event.key + "\" is at revision " + is, "revision", is);
    } else if (store(event, event.key, event.value)) {
      effects.answer(event, Json.map("revision", revision));
      notifyWaiters(event.key);
    }
  }

  /** Store a value under a prefix and its next number. */
  void append(Call.KvAppend event) {
    long number = counters.getOrDefault(event.prefix, 0L);
    String key = event.prefix + String.format("%010d", number);
    if (!store(event, key, event.value)) {
      return;
    }
    counters.put(event.prefix, number + 1);
    effects.changes.put(RecordKind.KV_COUNTER, event.prefix, number + 1);
    effects.answer(event, Json.map("key", key, "number", number, "revision", revision));
    notifyWaiters(key);
  }

  private boolean store(Call event, String key, Json.Raw value) {
    Entry before = entries.get(key);
    Entry entry = new Entry(key, value, revision + 1);
    long after = size + entry.size() - (before == null ? 0 : before.size());
    if (after > LIMIT) {
      effects.refuse(event, 413, "too-large", "the store would hold more than " + LIMIT + " bytes");
      return false;
    }
    place(entry);
    effects.changes.put(RecordKind.KV_ENTRY, key, record(entry));
    effects.changes.put(RecordKind.KV_REVISION, "", revision);
    return true;
  }

  private void place(Entry entry) {
    Entry before = entries.put(entry.key, entry);
    if (before != null) {
      byRevision.remove(before.revision);
      size -= before.size();
    }
    byRevision.put(entry.revision, entry);
    size += entry.size();
    revision = Math.max(revision, entry.revision);
  }

  private static Map<String, Object> record(Entry entry) {
    return Json.map("value", entry.value, "revision", entry.revision);
  }

  void delete(Call.KvDelete event) {
    Entry now = entries.get(event.key);
    long is = now == null ? 0 : now.revision;
    if (event.expect != null && event.expect != is) {
      effects.refuse(event, 409, "conflict", "\"" + event.key + "\" is at revision " + is, "revision", is);
      return;
    }
    if (now == null) {
      effects.answer(event, Json.map("deleted", false, "revision", revision));
      return;
    }
    entries.remove(event.key);
    byRevision.remove(now.revision);
    size -= now.size();
    gone.addLast(new Gone(event.key, ++revision));
    if (gone.size() > MAX_GONE) {
      forgotten = gone.removeFirst().revision;
    }
    effects.changes.put(RecordKind.KV_ENTRY, event.key, null);
    effects.changes.put(RecordKind.KV_REVISION, "", revision);
    effects.answer(event, Json.map("deleted", true, "revision", revision));
    notifyWaiters(event.key);
  }

  /** A key's value, once it is newer than a revision. */
  void get(Call.KvGet event) {
    effects.waiters.answer(event, TOPIC + event.key, event.deadline, () -> {
      Entry entry = entries.get(event.key);
      return entry == null || entry.revision <= event.after ? null : entry.view();
    }, () -> effects.refuse(event, 404, "unknown-key", "there is no \"" + event.key + "\""
        + (event.after > 0 ? " newer than revision " + event.after : "")));
  }

  /** All keys with a prefix, or those that changed after a revision; oldest change first. */
  void list(Call.KvList event) {
    effects.waiters.answer(event, PREFIXES + event.prefix, event.deadline, () -> {
      Map<String, Object> page = page(event);
      return event.after >= 0 && isEmpty(page) ? null : page;
    }, () -> effects.answer(event, page(event)));
  }

  private static boolean isEmpty(Map<String, Object> page) {
    return ((List<?>) page.get("entries")).isEmpty() && ((List<?>) page.get("deleted")).isEmpty()
        && !page.containsKey("reset");
  }

  private Map<String, Object> page(Call.KvList event) {
    // Deletions after this revision are dropped: reply with all keys, and "reset".
    boolean reset = event.after > 0 && event.after < forgotten;
    long after = reset ? 0 : Math.max(0, event.after);
    List<Object> found = new ArrayList<>();
    long reached = revision;
    int left = MAX_PAGE;
    boolean more = false;
    for (Entry entry : byRevision.tailMap(after, false).values()) {
      if (!entry.key.startsWith(event.prefix)) {
        continue;
      }
      left -= event.values ? entry.size() : entry.key.length() + OVERHEAD;
      if (left < 0 && !found.isEmpty()) {
        more = true;
        break;
      }
      found.add(event.values ? entry.view() : Json.map("key", entry.key, "revision", entry.revision));
      reached = entry.revision;
    }
    reached = more ? reached : revision;
    List<Object> deleted = new ArrayList<>();
    for (Gone one : gone) {
      if (after > 0 && one.revision > after && one.revision <= reached && one.key.startsWith(event.prefix)) {
        deleted.add(one.key);
      }
    }
    Map<String, Object> page = Json.map("entries", found, "deleted", deleted, "revision", reached, "more", more);
    if (reset) {
      page.put("reset", true);
    }
    return page;
  }

  private void notifyWaiters(String key) {
    effects.waiters.changed(TOPIC + key);
    for (String topic : effects.waiters.topics(PREFIXES)) {
      if (key.startsWith(topic.substring(PREFIXES.length()))) {
        effects.waiters.changed(topic);
      }
    }
  }

  void dump(Records records) {
    if (revision > 0) {
      records.put(RecordKind.KV_REVISION, "", revision);
    }
    counters.forEach((prefix, next) -> records.put(RecordKind.KV_COUNTER, prefix, next));
    byRevision.values().forEach(entry -> records.put(RecordKind.KV_ENTRY, entry.key, record(entry)));
  }

  void restoreRevision(long newest) {
    revision = Math.max(revision, newest);
    forgotten = revision;
  }

  void restoreCounter(String prefix, long next) {
    counters.put(prefix, next);
  }

  void restore(String key, Fields fields) {
    place(new Entry(key, new Json.Raw(fields.any("value")), fields.whole("revision", 1, Long.MAX_VALUE)));
  }
}
