package knit.am.core.effects;

import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeSet;

/** Times at which the reducer has something to do. Each kind and subject has one time; setting it again moves it. */
public final class Alarms {
  /** What is due, and for which subject. Alarms that are due at the same time go off in this order. */
  public enum Kind {
    /** A host is no longer avoided. */
    ALLOW_NODE,
    /** The containers of a service's gang must be allocated. */
    GANG_TIMEOUT,
    /** The NodeManager must have ended a container that it was told to stop, by YARN's id. */
    STOP_TIMEOUT,
    /** Lazy journal records are written. */
    LAZY_RECORDS,
    /** The application's lifetime is over. */
    LIFETIME,
    /** YARN must have reported how a container ended while no ApplicationMaster ran, by YARN's id. */
    LOST_CONTAINER,
    /** A container is probed, by YARN's id. */
    PROBE,
    /** A container is requested, by {@code main_0/2}. */
    REQUEST,
    /** A request for one node is changed into one for all free nodes, by its number. */
    ONE_NODE_TIMEOUT,
    /** The cluster's nodes are asked for again. */
    ASK_NODES,
    /** A container's grace period is over, by YARN's id. */
    GRACE_OVER,
    /** A container must be ready, by YARN's id. */
    READINESS_DEADLINE,
    /** A waiting call is answered, by its number. */
    CALL_TIMEOUT,
    /** result.json must be written. */
    WRITE_TIMEOUT,
    /** Newer delegation tokens are looked for. */
    TOKENS
  }

  /** One alarm. */
  public static final class Alarm implements Comparable<Alarm> {
    public final Kind kind;
    /** Empty for a kind of which there is one. */
    public final String subject;
    private final long at;

    private Alarm(Kind kind, String subject, long at) {
      this.kind = kind;
      this.subject = subject;
      this.at = at;
    }

    @Override
    public int compareTo(Alarm other) {
      int order = Long.compare(at, other.at);
      order = order != 0 ? order : kind.compareTo(other.kind);
      return order != 0 ? order : subject.compareTo(other.subject);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Alarm && compareTo((Alarm) other) == 0;
    }

    @Override
    public int hashCode() {
      return subject.hashCode();
    }
  }

  private final TreeSet<Alarm> order = new TreeSet<>();
  private final Map<Kind, Map<String, Alarm>> bySubject = new EnumMap<>(Kind.class);

  public void set(Kind kind, String subject, long at) {
    cancel(kind, subject);
    Alarm alarm = new Alarm(kind, subject, at);
    order.add(alarm);
    bySubject.computeIfAbsent(kind, key -> new HashMap<>()).put(subject, alarm);
  }

  public void set(Kind kind, long at) {
    set(kind, "", at);
  }

  public void cancel(Kind kind, String subject) {
    Map<String, Alarm> some = bySubject.get(kind);
    Alarm alarm = some == null ? null : some.remove(subject);
    if (alarm != null) {
      order.remove(alarm);
    }
  }

  public void cancel(Kind kind) {
    cancel(kind, "");
  }

  boolean isSet(Kind kind) {
    return bySubject.containsKey(kind) && !bySubject.get(kind).isEmpty();
  }

  /** The earliest time; Long.MAX_VALUE when no alarm is set. */
  public long next() {
    return order.isEmpty() ? Long.MAX_VALUE : order.first().at;
  }

  /** Remove the first alarm that is due and return it; null when none is due. */
  public Alarm due(long now) {
    if (next() > now) {
      return null;
    }
    Alarm alarm = order.pollFirst();
    bySubject.get(alarm.kind).remove(alarm.subject);
    return alarm;
  }
}
