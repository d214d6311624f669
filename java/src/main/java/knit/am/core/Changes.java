package knit.am.core;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What the journal has to learn: the newest record under each key, null for one that is no more. The state after a restart is
 * made of the last record under every key, so a record says all about its subject.
 */
final class Changes {
  static final String LAZY = "lazy";
  private static final long LAZINESS = 2_000;

  private final Alarms alarms;
  private Map<String, Object> fresh = new LinkedHashMap<>();
  private final Map<String, Object> lazy = new LinkedHashMap<>();

  Changes(Alarms alarms) {
    this.alarms = alarms;
  }

  void put(String key, Object record) {
    lazy.remove(key);
    fresh.remove(key);
    fresh.put(key, record);
  }

  /** What changes so often that a few seconds of it may be lost. */
  void putLazily(String key, Object record, long at) {
    if (fresh.containsKey(key)) {
      fresh.put(key, record);
      return;
    }
    lazy.put(key, record);
    if (!alarms.isSet(LAZY)) {
      alarms.set(LAZY, at + LAZINESS);
    }
  }

  void hurry() {
    fresh.putAll(lazy);
    lazy.clear();
  }

  /** Everything since the last call, in the order of the last changes. */
  Map<String, Object> take() {
    Map<String, Object> taken = fresh;
    fresh = new LinkedHashMap<>();
    return taken;
  }
}
