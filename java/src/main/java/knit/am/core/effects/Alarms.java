package knit.am.core.effects;

import java.util.HashMap;
import java.util.Map;
import java.util.TreeSet;

/** Times at which the reducer has something to do. Each key has one time; setting it again moves it. */
public final class Alarms {
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

  public void set(String key, long at) {
    cancel(key);
    Alarm alarm = new Alarm(at, key);
    order.add(alarm);
    byKey.put(key, alarm);
  }

  public void cancel(String key) {
    Alarm alarm = byKey.remove(key);
    if (alarm != null) {
      order.remove(alarm);
    }
  }

  boolean isSet(String key) {
    return byKey.containsKey(key);
  }

  /** The earliest time; Long.MAX_VALUE when no alarm is set. */
  public long next() {
    return order.isEmpty() ? Long.MAX_VALUE : order.first().at;
  }

  /** Remove the first alarm that is due and return its key; null when none is due. */
  public String due(long now) {
    if (next() > now) {
      return null;
    }
    Alarm alarm = order.pollFirst();
    byKey.remove(alarm.key);
    return alarm.key;
  }
}
