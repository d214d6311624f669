package knit.am.core;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import knit.am.core.application.Application;
import knit.am.core.application.ContainerRegistry;
import knit.am.core.application.Views;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Identity;
import knit.am.core.model.Spec;
import knit.am.core.store.SharedStore;
import knit.am.json.Fields;

/**
 * Takes an event, changes the state and returns actions and journal records: docs/protocol.md, sections 5 and 7. It has no clock,
 * no thread and no I/O; the owner thread alone calls it.
 */
public final class Reducer {
  private final Effects effects;
  private final ContainerRegistry registry;
  private final SharedStore store;
  private final Application application;
  private final Views views;

  public Reducer(Identity identity, Spec spec) {
    effects = new Effects(identity, spec);
    registry = new ContainerRegistry(spec, effects.changes);
    store = new SharedStore(effects, registry);
    application = new Application(effects, registry, store);
    views = application.views();
  }

  // Journal

  /**
   * Restore the state of an earlier attempt.
   *
   * @param records the last record under each key of its journal
   */
  public void restore(Map<String, Object> records) {
    TreeMap<Long, Object> events = new TreeMap<>();
    records.forEach((key, record) -> {
      RecordKind kind = RecordKind.of(key);
      String subject = kind.subject(key);
      if (kind == RecordKind.TIMELINE) {
        events.put(Long.valueOf(subject), record);
      } else if (kind == RecordKind.TOKEN) {
        effects.tokens.restore(subject, record);
      } else if (!store.restore(kind, subject, record)) {
        application.restore(kind, subject, record);
      }
    });
    events.values().forEach(event -> effects.timeline.restore(new Fields(event, "event")));
    effects.changes.take();
    application.restored();
  }

  /** All records of the state by key, for a new journal. */
  public Map<String, Object> dump() {
    Map<String, Object> records = new LinkedHashMap<>();
    Records add = (kind, subject, record) -> records.put(kind.key(subject), record);
    application.dump(add);
    store.dump(add);
    effects.tokens.dump(add);
    effects.timeline.dump(add);
    return records;
  }

  /** The journal records since the last call: key to record, null for a deleted one. */
  public Map<String, Object> changes() {
    return effects.changes.take();
  }

  // Events

  public List<Action> apply(Event event) {
    long newest = effects.timeline.number();
    if (event instanceof Call) {
      call((Call) event);
    } else {
      application.apply(event);
    }
    for (Alarms.Alarm alarm = effects.alarms.due(event.at); alarm != null; alarm = effects.alarms.due(event.at)) {
      alarm(alarm, event.at);
    }
    application.judge(event.at);
    if (effects.timeline.number() > newest) {
      effects.waiters.changed("events");
    }
    return effects.takeActions();
  }

  /** When an {@link Event.Tick} is due at the latest, in milliseconds since the epoch. */
  public long nextTick() {
    return effects.alarms.next();
  }

  /** 0 to 1. */
  public double progress() {
    return views.progress();
  }

  Views views() {
    return views;
  }

  private void alarm(Alarms.Alarm alarm, long at) {
    if (alarm.kind == Alarms.Kind.LAZY_RECORDS) {
      effects.changes.flushLazy();
    } else if (alarm.kind == Alarms.Kind.CALL_TIMEOUT) {
      effects.waiters.timeout(alarm.subject);
    } else {
      application.alarm(alarm, at);
    }
  }

  // Calls

  private void call(Call call) {
    if (call.yarn != null && registry.allocated(call.yarn) == null) {
      refuseEnded(call);
    } else if (call instanceof Call.Managing) {
      manage((Call.Managing) call);
    } else if (!effects.repeat(call) && !read(call) && !store.call(call)) {
      report(call);
    }
  }

  /** A container that has ended, or was replaced, cannot change the state. */
  private void refuseEnded(Call call) {
    if (effects.identity.attempt > 1 && application.isStarting()) {
      // The attempt before may have started it after the last record of its journal.
      effects.refuse(call, 503, "starting", "the ApplicationMaster does not yet know which containers run");
    } else {
      effects.refuse(call, 409, "ended", call.yarn + " has ended");
    }
  }

  private void manage(Call.Managing call) {
    if (call.caller != null && !application.mayManage(call.caller)) {
      effects.refuse(call, 403, "forbidden",
          "a container's token is not good for this call, unless its service manages the application");
    } else if (!effects.repeat(call)) {
      application.manage(call);
    }
  }

  private boolean read(Call call) {
    if (call instanceof Call.Read) {
      effects.answer(call, view(((Call.Read) call).what, call.at));
    } else if (call instanceof Call.ReadEvents) {
      Call.ReadEvents read = (Call.ReadEvents) call;
      effects.waiters.answer(read, "events", read.deadline,
          () -> effects.timeline.number() > read.after ? views.events(read.after, read.most) : null,
          () -> effects.answer(read, views.events(read.after, read.most)));
    } else if (call instanceof Call.Tokens) {
      application.tokens((Call.Tokens) call);
    } else if (call instanceof Call.ReadLog) {
      application.readLog((Call.ReadLog) call);
    } else {
      return false;
    }
    return true;
  }

  private Map<String, Object> view(Call.What what, long at) {
    if (what == Call.What.APPLICATION) {
      return views.application();
    } else if (what == Call.What.CONTAINERS) {
      return views.containers();
    }
    return what == Call.What.PAGE ? views.page(at) : views.results();
  }

  /** A container reports its state. */
  private void report(Call call) {
    if (call instanceof Call.Progress) {
      application.progress((Call.Progress) call);
    } else if (call instanceof Call.Ready) {
      application.ready((Call.Ready) call);
    }
  }
}
