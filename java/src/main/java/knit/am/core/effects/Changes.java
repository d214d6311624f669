package knit.am.core.effects;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Records for the journal: the newest one under each key, null to delete it. The next attempt restores its state from the last
 * record under every key, so each record holds everything about its subject.
 */
public final class Changes implements Records {
  /** Milliseconds until a lazy record is written. */
  private static final long LAZY_DELAY = 2_000;

  private final Alarms alarms;
  private Map<String, Object> fresh = new LinkedHashMap<>();
  private final Map<String, Object> lazy = new LinkedHashMap<>();

  public Changes(Alarms alarms) {
    this.alarms = alarms;
  }

  @Override
  public void put(RecordKind kind, String subject, Object record) {
    String key = kind.key(subject);
    lazy.remove(key);
    fresh.remove(key);
    fresh.put(key, record);
  }

  /** For a record that changes often: a crash may lose its changes of the last seconds. */
  public void putLazily(RecordKind kind, String subject, Object record, long at) {
    String key = kind.key(subject);
    if (fresh.containsKey(key)) {
      fresh.put(key, record);
      return;
    }
    lazy.put(key, record);
    if (!alarms.isSet(Alarms.Kind.LAZY_RECORDS)) {
      alarms.set(Alarms.Kind.LAZY_RECORDS, at + LAZY_DELAY);
    }
  }

  /** Lazy records are written with the next ones. */
  public void flushLazy() {
    fresh.putAll(lazy);
    lazy.clear();
  }

  /** All records since the last call, by key, ordered by their last change. */
  public Map<String, Object> take() {
    Map<String, Object> taken = fresh;
    fresh = new LinkedHashMap<>();
    return taken;
  }
}
