package knit.am.core.effects;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import knit.am.core.message.Call;

/** Calls that wait for a change. They hold no thread. Each is checked again when its topic changes. */
public final class Waiters {
  static final int LIMIT = 5_000;

  private static final class Waiter {
    final Call call;
    final String topic;
    final Supplier<Map<String, Object>> reply;
    final Runnable timeout;

    Waiter(Call call, String topic, Supplier<Map<String, Object>> reply, Runnable timeout) {
      this.call = call;
      this.topic = topic;
      this.reply = reply;
      this.timeout = timeout;
    }
  }

  private final Effects effects;
  private final Map<String, Map<Long, Waiter>> topics = new HashMap<>();
  private final Map<Long, Waiter> all = new HashMap<>();
  private long number;

  Waiters(Effects effects) {
    this.effects = effects;
  }

  /**
   * Answer a call now, or when its topic has changed.
   *
   * @param deadline until when to wait
   * @param reply the reply; null while there is none
   * @param timeout answers the call at the deadline
   */
  public void answer(Call call, String topic, long deadline, Supplier<Map<String, Object>> reply, Runnable timeout) {
    Map<String, Object> found = reply.get();
    if (found != null) {
      effects.answer(call, found);
    } else if (deadline <= call.at) {
      timeout.run();
    } else if (all.size() >= LIMIT) {
      effects.refuse(call, 503, "busy", "more than " + LIMIT + " calls are waiting");
    } else {
      Waiter waiter = new Waiter(call, topic, reply, timeout);
      all.put(++number, waiter);
      topics.computeIfAbsent(topic, key -> new HashMap<>()).put(number, waiter);
      effects.alarms.set(Alarms.Kind.CALL_TIMEOUT, Long.toString(number), deadline);
    }
  }

  /** A topic has changed: answer the calls that now have a reply. */
  public void changed(String topic) {
    Map<Long, Waiter> waiters = topics.get(topic);
    if (waiters == null) {
      return;
    }
    for (Iterator<Map.Entry<Long, Waiter>> it = waiters.entrySet().iterator(); it.hasNext(); ) {
      Map.Entry<Long, Waiter> entry = it.next();
      Map<String, Object> found = entry.getValue().reply.get();
      if (found != null) {
        it.remove();
        all.remove(entry.getKey());
        effects.alarms.cancel(Alarms.Kind.CALL_TIMEOUT, entry.getKey().toString());
        effects.answer(entry.getValue().call, found);
      }
    }
    if (waiters.isEmpty()) {
      topics.remove(topic);
    }
  }

  /** The topics with this prefix that calls wait for. */
  public List<String> topics(String prefix) {
    List<String> found = new ArrayList<>();
    for (String topic : topics.keySet()) {
      if (topic.startsWith(prefix)) {
        found.add(topic);
      }
    }
    return found;
  }

  /** The deadline of a waiting call has passed. */
  public void timeout(String subject) {
    long which = Long.parseLong(subject);
    Waiter waiter = all.remove(which);
    Map<Long, Waiter> others = topics.get(waiter.topic);
    others.remove(which);
    if (others.isEmpty()) {
      topics.remove(waiter.topic);
    }
    waiter.timeout.run();
  }
}
