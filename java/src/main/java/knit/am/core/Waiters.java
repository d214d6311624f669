package knit.am.core;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/** Calls that wait for something: no thread waits with them. Each is looked at again when its topic changes. */
final class Waiters {
  static final int LIMIT = 5_000;
  private static final String KEY = "wait ";

  private static final class Parked {
    final Event.Call call;
    final String topic;
    final Supplier<Map<String, Object>> look;
    final Runnable late;

    Parked(Event.Call call, String topic, Supplier<Map<String, Object>> look, Runnable late) {
      this.call = call;
      this.topic = topic;
      this.look = look;
      this.late = late;
    }
  }

  private final Context context;
  private final Map<String, Map<Long, Parked>> topics = new HashMap<>();
  private final Map<Long, Parked> all = new HashMap<>();
  private long number;

  Waiters(Context context) {
    this.context = context;
  }

  /**
   * Answer a call with what a look finds, now or when its topic has changed.
   *
   * @param deadline when the waiting is over
   * @param look the answer, null while there is none
   * @param late answers when the time is over
   */
  void answer(Event.Call call, String topic, long deadline, Supplier<Map<String, Object>> look, Runnable late) {
    Map<String, Object> found = look.get();
    if (found != null) {
      context.answer(call, found);
    } else if (deadline <= call.at) {
      late.run();
    } else if (all.size() >= LIMIT) {
      context.refuse(call, 503, "busy", "more than " + LIMIT + " calls are waiting");
    } else {
      Parked parked = new Parked(call, topic, look, late);
      all.put(++number, parked);
      topics.computeIfAbsent(topic, key -> new HashMap<>()).put(number, parked);
      context.alarms.set(KEY + number, deadline);
    }
  }

  /** Something has changed that calls may be waiting for. */
  void look(String topic) {
    Map<Long, Parked> some = topics.get(topic);
    if (some == null) {
      return;
    }
    for (Iterator<Map.Entry<Long, Parked>> it = some.entrySet().iterator(); it.hasNext(); ) {
      Map.Entry<Long, Parked> entry = it.next();
      Map<String, Object> found = entry.getValue().look.get();
      if (found != null) {
        it.remove();
        all.remove(entry.getKey());
        context.alarms.cancel(KEY + entry.getKey());
        context.answer(entry.getValue().call, found);
      }
    }
    if (some.isEmpty()) {
      topics.remove(topic);
    }
  }

  /** The topics that begin like this and have somebody waiting. */
  List<String> topics(String beginning) {
    List<String> found = new ArrayList<>();
    for (String topic : topics.keySet()) {
      if (topic.startsWith(beginning)) {
        found.add(topic);
      }
    }
    return found;
  }

  /** An alarm has gone off; whether it was one of ours. */
  boolean alarm(String key) {
    if (!key.startsWith(KEY)) {
      return false;
    }
    long which = Long.parseLong(key.substring(KEY.length()));
    Parked parked = all.remove(which);
    Map<Long, Parked> some = topics.get(parked.topic);
    some.remove(which);
    if (some.isEmpty()) {
      topics.remove(parked.topic);
    }
    parked.late.run();
    return true;
  }
}
