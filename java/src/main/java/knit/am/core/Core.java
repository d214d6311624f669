package knit.am.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * The reducer: an event in, a new state, the actions to take and the records for the journal out. It has no clock, no thread
 * and no I/O; one owner thread calls it. The rules are those of docs/protocol.md, sections 5 and 7.
 */
public final class Core {
  private final Context context;
  private final Kv kv;
  private final Barriers barriers;
  private final Pages pages;
  private final Views views;
  private boolean restored;

  public Core(Identity identity, Spec spec) {
    context = new Context(identity, spec);
    kv = new Kv(context);
    barriers = new Barriers(context);
    pages = context.pages;
    views = new Views(context);
  }

  /**
   * The state that an earlier attempt left.
   *
   * @param records the last record under each key of its journal
   */
  public void restore(Map<String, Object> records) {
    TreeMap<Long, Object> events = new TreeMap<>();
    for (Map.Entry<String, Object> entry : records.entrySet()) {
      String key = entry.getKey();
      Object record = entry.getValue();
      String rest = key.substring(key.indexOf(' ') + 1);
      if (key.equals(Lifecycle.RECORD)) {
        context.ending.restore(new Fields(record, key));
      } else if (key.startsWith("e ")) {
        events.put(Long.valueOf(rest), record);
      } else if (key.startsWith("s ")) {
        restoreService(context.roster.group(rest), new Fields(record, key));
      } else if (key.startsWith("h ")) {
        int cut = rest.lastIndexOf('_');
        context.roster.group(rest.substring(0, cut)).restore(Integer.parseInt(rest.substring(cut + 1)),
            Group.History.of(new Fields(record, key)));
      } else if (key.startsWith("r ")) {
        int cut = rest.lastIndexOf('_');
        context.results.put(rest.substring(0, cut), Integer.parseInt(rest.substring(cut + 1)), new Json.Raw(record));
      } else if (key.startsWith("c ")) {
        Fields fields = new Fields(record, key);
        context.roster.restore(Container.of(fields), fields.flag("past"));
      } else if (!kv.restore(key, record) && !barriers.restore(key, record) && !pages.restore(key, record)
          && !context.tokens.restore(key, record)) {
        throw new IllegalArgumentException("the journal has an unknown record: " + key);
      }
    }
    events.values().forEach(event -> context.log.restore(new Fields(event, "event")));
    context.changes.take();
    restored = true;
  }

  private static void restoreService(Group group, Fields record) {
    group.released = record.flag("released");
    group.ganged = record.flag("ganged");
    group.killed = record.integer("killed");
    group.restarts = record.integer("restarts");
  }

  /** All records that the state is made of, for a new journal. */
  public Map<String, Object> dump() {
    Map<String, Object> records = new LinkedHashMap<>();
    context.ending.dump(records);
    context.services.dump(records);
    context.instances.dump(records);
    context.roster.dump(records);
    context.results.dump(records);
    kv.dump(records);
    barriers.dump(records);
    pages.dump(records);
    context.tokens.dump(records);
    context.log.dump(records);
    return records;
  }

  /** What changed since the last call, for the journal: key to record, null for what is no more. */
  public Map<String, Object> changes() {
    return context.changes.take();
  }

  /** Take one event in. */
  public List<Action> apply(Event event) {
    long seen = context.log.number();
    if (event instanceof Event.Call) {
      call((Event.Call) event);
    } else if (!container(event) && !cluster(event)) {
      life(event);
    }
    for (String key = context.alarms.due(event.at); key != null; key = context.alarms.due(event.at)) {
      alarm(key, event.at);
    }
    context.ending.judge(event.at);
    if (context.log.number() > seen) {
      context.waiters.look("events");
    }
    return context.takeActions();
  }

  /** When an {@link Event.Tick} is due at the latest, in milliseconds since the epoch. */
  public long nextTick() {
    return context.alarms.next();
  }

  /** 0 to 1. */
  public double progress() {
    return views.progress();
  }

  Views views() {
    return views;
  }

  Pages pages() {
    return pages;
  }

  private void alarm(String key, long at) {
    if (key.equals(Changes.LAZY)) {
      context.changes.hurry();
    } else if (!context.waiters.alarm(key) && !context.services.alarm(key, at) && !context.ending.alarm(key, at)
        && !context.instances.alarm(key, at)) {
      throw new IllegalStateException("nobody knows the alarm " + key);
    }
  }

  // What happens to containers

  private boolean container(Event event) {
    Instances instances = context.instances;
    if (event instanceof Event.Allocated) {
      for (Event.Grant grant : ((Event.Allocated) event).grants) {
        instances.granted(grant, event.at);
      }
    } else if (event instanceof Event.RequestsRefused) {
      instances.refused((Event.RequestsRefused) event);
    } else if (event instanceof Event.Preempting) {
      instances.preempting((Event.Preempting) event);
    } else if (event instanceof Event.Launched) {
      instances.launched(((Event.Launched) event).yarn, event.at);
    } else if (event instanceof Event.LaunchFailed) {
      instances.launchFailed((Event.LaunchFailed) event);
    } else if (event instanceof Event.Completed) {
      instances.completed((Event.Completed) event);
    } else if (event instanceof Event.Probed) {
      instances.readying().probed((Event.Probed) event);
    } else {
      return false;
    }
    return true;
  }

  private boolean cluster(Event event) {
    if (event instanceof Event.ClusterSize) {
      context.instances.health().clusterHas(((Event.ClusterSize) event).nodes);
    } else if (event instanceof Event.Nodes) {
      context.instances.nodes((Event.Nodes) event);
    } else if (event instanceof Event.Recovered) {
      context.instances.takeover().recovered(((Event.Recovered) event).previous, false, event.at);
    } else {
      return false;
    }
    return true;
  }

  // The life of the application

  private void life(Event event) {
    Lifecycle ending = context.ending;
    if (event instanceof Event.Started) {
      started(event.at);
    } else if (event instanceof Event.Registered) {
      registered((Event.Registered) event);
    } else if (event instanceof Event.Refused) {
      ending.stop(Outcome.FAILED, ((Event.Refused) event).message, event.at);
    } else if (event instanceof Event.ResultWritten) {
      ending.resultWritten(((Event.ResultWritten) event).problem);
    } else if (event instanceof Event.Disowned) {
      ending.disowned();
    } else if (event instanceof Event.Terminated) {
      ending.terminated(event.at);
    } else if (event instanceof Event.Unregistered) {
      ending.unregistered();
    }
  }

  private void started(long at) {
    context.log.add(at, "started", null, "attempt " + context.identity.attempt);
    context.ending.started(at);
    if (!restored) {
      context.services.start(at);
    }
    context.roster.groups().forEach(group -> group.histories().values().forEach(history -> history.notAfter(at)));
  }

  private void registered(Event.Registered event) {
    context.log.add(event.at, "registered", null, null);
    context.ending.registered();
    context.instances.takeover().recovered(event.previous, restored, event.at);
    if (restored) {
      context.services.resume(event.at);
    }
  }

  // Calls

  private void call(Event.Call event) {
    if (event.yarn != null && context.roster.allocated(event.yarn) == null) {
      refuseGone(event);
      return;
    }
    if (!(event instanceof Event.Managing)) {
      if (!context.repeat(event) && !read(event) && !store(event)) {
        report(event);
      }
      return;
    }
    if (!allowed((Event.Managing) event)) {
      context.refuse(event, 403, "forbidden",
          "a container's token is not good for this call, unless its service manages the application");
    } else if (context.repeat(event)) {
      return;
    } else if (event instanceof Event.Shutdown) {
      Event.Shutdown shutdown = (Event.Shutdown) event;
      context.ending.stop(shutdown.outcome, shutdown.diagnostics, event.at);
      context.answer(event, Json.map("state", "STOPPING"));
    } else if (!context.ending.open()) {
      context.refuse(event, 409, "stopping", "the application is ending: " + context.ending.outcome());
    } else if (event instanceof Event.Scale) {
      context.services.scale((Event.Scale) event);
      barriers.changed(((Event.Scale) event).service);
    } else if (event instanceof Event.Kill) {
      context.instances.kill((Event.Kill) event);
      new ArrayList<>(context.spec.services.keySet()).forEach(barriers::changed);
    } else if (event instanceof Event.Administer) {
      context.act(new Action.Administer((Event.Administer) event));
    }
  }

  /** A container that has ended, or that another has replaced, changes nothing any more. */
  private void refuseGone(Event.Call event) {
    if (context.identity.attempt > 1 && context.ending.phase() == Lifecycle.Phase.STARTING) {
      // The attempt before may have started it in the moment in which its journal ended.
      context.refuse(event, 503, "starting", "the ApplicationMaster does not yet know which containers run");
    } else {
      context.refuse(event, 409, "ended", event.yarn + " has ended");
    }
  }

  private boolean allowed(Event.Managing event) {
    if (event.caller == null) {
      return true;
    }
    Container caller = context.roster.allocated(event.caller);
    return caller != null && context.roster.group(caller).spec.manages;
  }

  private boolean read(Event.Call event) {
    if (event instanceof Event.Read) {
      switch (((Event.Read) event).what) {
        case APPLICATION:
          context.answer(event, views.application(pages));
          break;
        case CONTAINERS:
          context.answer(event, views.containers());
          break;
        case PAGE:
          context.answer(event, views.page(pages, event.at));
          break;
        default:
          context.answer(event, views.results());
          break;
      }
    } else if (event instanceof Event.ReadEvents) {
      Event.ReadEvents wanted = (Event.ReadEvents) event;
      context.waiters.answer(wanted, "events", wanted.deadline,
          () -> context.log.number() > wanted.after ? views.events(wanted.after, wanted.most) : null,
          () -> context.answer(wanted, views.events(wanted.after, wanted.most)));
    } else {
      return false;
    }
    return true;
  }

  private boolean store(Event.Call event) {
    if (event instanceof Event.KvPut) {
      kv.put((Event.KvPut) event);
    } else if (event instanceof Event.KvGet) {
      kv.get((Event.KvGet) event);
    } else if (event instanceof Event.KvList) {
      kv.list((Event.KvList) event);
    } else if (event instanceof Event.KvDelete) {
      kv.delete((Event.KvDelete) event);
    } else if (event instanceof Event.KvAppend) {
      kv.append((Event.KvAppend) event);
    } else if (event instanceof Event.Arrive) {
      barriers.arrive((Event.Arrive) event);
    } else {
      return false;
    }
    return true;
  }

  /** What containers tell. */
  private void report(Event.Call event) {
    if (event instanceof Event.Progress) {
      progress((Event.Progress) event);
    } else if (event instanceof Event.Returned) {
      returned((Event.Returned) event);
    } else if (event instanceof Event.Ready) {
      context.instances.readying().ready((Event.Ready) event);
    } else if (event instanceof Event.AddPage) {
      pages.add((Event.AddPage) event);
    }
  }

  private void progress(Event.Progress event) {
    if (event.yarn == null) {
      context.ending.progress(event.progress, event.at);
      context.answer(event, Json.map());
      return;
    }
    Container container = context.roster.allocated(event.yarn);
    context.roster.updateLazily(container.reported(event.progress, event.metrics), event.at);
    context.answer(event, Json.map());
  }

  private void returned(Event.Returned event) {
    Container container = context.roster.allocated(event.yarn);
    if (context.results.put(container.service, container.instance, event.value)) {
      context.answer(event, Json.map());
    } else {
      context.refuse(event, 413, "too-large",
          "the results of all instances together are over " + Results.LIMIT + " bytes");
    }
  }
}
