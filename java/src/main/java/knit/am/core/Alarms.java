package knit.am.core;

import java.util.HashMap;
import java.util.Map;
import java.util.TreeSet;

/** What is to be looked at when. Each key has one time; setting it again moves it. */
final class Alarms {
  private static final class Alarm implements Comparable<Alarm> {
    final long at;
    final String key;

    Alarm(long at, String key) {
      this.at = at;
      this.key = key;
    }

    @Override
    public int compareTo(Alarm other) {
      return at != other.at ? Long.compare(at, other.at) : key.compareTo(other.key);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Alarm && compareTo((Alarm) other) == 0;
    }

    @Override
    public int hashCode() {
      return key.hashCode();
    }
  }

  private final TreeSet<Alarm> order = new TreeSet<>();
  private final Map<String, Alarm> byKey = new HashMap<>();

  void set(String key, long at) {
    cancel(key);
    Alarm alarm = new Alarm(at, key);
    order.add(alarm);
    byKey.put(key, alarm);
  }

  void cancel(String key) {
    Alarm alarm = byKey.remove(key);
    if (alarm != null) {
      order.remove(alarm);
    }
  }

  boolean isSet(String key) {
    return byKey.containsKey(key);
  }

  /** The earliest time, Long.MAX_VALUE when nothing is set. */
  long next() {
    return order.isEmpty() ? Long.MAX_VALUE : order.first().at;
  }

  /** The first key whose time has come, taken out; null when there is none. */
  String due(long now) {
    if (next() > now) {
      return null;
    }
    Alarm alarm = order.pollFirst();
    byKey.remove(alarm.key);
    return alarm.key;
  }
}
