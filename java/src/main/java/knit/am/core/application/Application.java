package knit.am.core.application;

import java.util.Map;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Identity;
import knit.am.core.model.Outcome;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * The application with its services, instances and containers. It gives each event, call and alarm to the class that handles
 * it.
 */
public final class Application {
  /** What is kept for containers' programs, as far as this package needs it. */
  public interface Store {
    void containerEnded(String yarn);

    /** Instances may have been added to a service, or may leave it. */
    void instancesChanged(String service);

    /** Web pages of containers, as the API shows them. */
    Map<String, Object> pages();

    /** The values that instances returned, by service and rank. */
    Map<String, ?> results();
  }

  final Effects effects;
  final ContainerRegistry registry;
  final Store store;
  final NodeHealth health;
  final AntiAffinity antiAffinity;
  final ReadinessChecks readiness;
  final ContainerStarts starts;
  final ContainerStops stops;
  final ContainerEnds ends;
  final Services services;
  final Lifecycle lifecycle;
  final Takeover takeover;
  private final TokenChecks tokens;
  private final Views views;
  private boolean restored;

  public Application(Effects effects, ContainerRegistry registry, Store store) {
    this.effects = effects;
    this.registry = registry;
    this.store = store;
    health = new NodeHealth(effects);
    antiAffinity = new AntiAffinity(this);
    readiness = new ReadinessChecks(this);
    starts = new ContainerStarts(this);
    stops = new ContainerStops(this);
    ends = new ContainerEnds(this);
    services = new Services(this);
    lifecycle = new Lifecycle(this);
    takeover = new Takeover(this);
    tokens = new TokenChecks(effects);
    views = new Views(this);
  }

  public Views views() {
    return views;
  }

  /** Whether the ResourceManager has not yet named the containers that an earlier attempt left. */
  public boolean isStarting() {
    return lifecycle.phase() == Lifecycle.Phase.STARTING;
  }

  /** Whether a container may make calls that change the application. */
  public boolean mayManage(String yarn) {
    Container caller = registry.allocated(yarn);
    return caller != null && registry.group(caller).spec.manages;
  }

  /** Handle an event that is no call. */
  public void apply(Event event) {
    if (!container(event) && !cluster(event)) {
      life(event);
    }
  }

  private boolean container(Event event) {
    if (event instanceof Event.Allocated) {
      ((Event.Allocated) event).grants.forEach(grant -> starts.granted(grant, event.at));
    } else if (event instanceof Event.RequestsRefused) {
      starts.refused((Event.RequestsRefused) event);
    } else if (event instanceof Event.Preempting) {
      stops.preempting((Event.Preempting) event);
    } else if (event instanceof Event.Launched) {
      starts.launched(((Event.Launched) event).yarn, event.at);
    } else if (event instanceof Event.LaunchFailed) {
      ends.launchFailed((Event.LaunchFailed) event);
    } else if (event instanceof Event.Completed) {
      ends.completed((Event.Completed) event);
    } else if (event instanceof Event.Probed) {
      readiness.probed((Event.Probed) event);
    } else {
      return false;
    }
    return true;
  }

  private boolean cluster(Event event) {
    if (event instanceof Event.ClusterSize) {
      health.clusterSize(((Event.ClusterSize) event).nodes);
    } else if (event instanceof Event.Nodes) {
      starts.nodes((Event.Nodes) event);
    } else if (event instanceof Event.Recovered) {
      takeover.recovered(((Event.Recovered) event).previous, false, event.at);
    } else if (event instanceof Event.TokensRead) {
      tokens.read((Event.TokensRead) event);
    } else {
      return false;
    }
    return true;
  }

  private void life(Event event) {
    if (event instanceof Event.Started) {
      started(event.at);
    } else if (event instanceof Event.Registered) {
      registered((Event.Registered) event);
    } else if (event instanceof Event.Refused) {
      lifecycle.stop(Outcome.FAILED, ((Event.Refused) event).message, event.at);
    } else if (event instanceof Event.ResultWritten) {
      lifecycle.resultWritten(((Event.ResultWritten) event).problem);
    } else if (event instanceof Event.Disowned) {
      lifecycle.disowned();
    } else if (event instanceof Event.Terminated) {
      lifecycle.terminated(event.at);
    } else if (event instanceof Event.Unregistered) {
      lifecycle.unregistered();
    }
  }

  private void started(long at) {
    effects.timeline.add(at, "started", null, "attempt " + effects.identity.attempt);
    lifecycle.started(at);
    if (!restored) {
      services.start(at);
    }
    registry.groups().forEach(group -> group.histories().values().forEach(history -> history.notAfter(at)));
  }

  private void registered(Event.Registered event) {
    effects.timeline.add(event.at, "registered", null, null);
    lifecycle.registered();
    tokens.look();
    takeover.recovered(event.previous, restored, event.at);
    if (restored) {
      services.resume(event.at);
    }
  }

  // Calls

  /** Carry out a call that changes the application. */
  public void manage(Call.Managing call) {
    if (lifecycle.abandoned()) {
      effects.refuse(call, 503, "restarting", "this attempt of the ApplicationMaster is ending, and another may follow");
    } else if (call instanceof Call.Shutdown) {
      lifecycle.shutdown((Call.Shutdown) call);
    } else if (!lifecycle.open()) {
      effects.refuse(call, 409, "stopping", "the application is ending: " + lifecycle.outcome());
    } else if (call instanceof Call.Scale) {
      services.scale((Call.Scale) call);
      store.instancesChanged(((Call.Scale) call).service);
    } else if (call instanceof Call.Kill) {
      stops.kill((Call.Kill) call);
      effects.spec.services.keySet().forEach(store::instancesChanged);
    } else if (call instanceof Call.Administer) {
      effects.act(new Action.Administer((Call.Administer) call));
    }
  }

  public void progress(Call.Progress call) {
    if (call.yarn == null) {
      lifecycle.progress(call.progress, call.at);
    } else {
      Container container = registry.allocated(call.yarn);
      registry.updateLazily(container.reported(call.progress, call.metrics), call.at);
    }
    effects.answer(call, Json.map());
  }

  public void tokens(Call.Tokens call) {
    tokens.call(call);
  }

  public void ready(Call.Ready call) {
    readiness.ready(call);
  }

  /** Have a container's logs read. The node's address is the one that YARN has told, never the caller's. */
  public void readLog(Call.ReadLog call) {
    Identity own = effects.identity;
    if (own.nodeHttp != null && (call.container.equals("master") || call.container.equals(own.container))) {
      effects.act(new Action.ReadLog(call, own.container, own.nodeHttp));
      return;
    }
    Container found = registry.find(call.container);
    if (found == null) {
      effects.refuse(call, 404, "unknown-container", "no container \"" + call.container + "\"");
    } else if (found.yarn() == null || found.nodeHttp() == null) {
      effects.refuse(call, 409, "no-node", call.container + " has no node");
    } else {
      effects.act(new Action.ReadLog(call, found.yarn(), found.nodeHttp()));
    }
  }

  /** An alarm of the application, a service, a container or a node has gone off. */
  public void alarm(Alarms.Alarm alarm, long at) {
    switch (alarm.kind) {
      case ALLOW_NODE:
        health.allow(alarm.subject, at);
        break;
      case GANG_TIMEOUT:
        services.gangTimeout(alarm.subject, at);
        break;
      case STOP_TIMEOUT:
        stops.stopTimeout(alarm.subject);
        break;
      case LIFETIME:
        lifecycle.lifetimeOver(at);
        break;
      case LOST_CONTAINER:
        takeover.lost(alarm.subject, at);
        break;
      case PROBE:
        readiness.probe(alarm.subject);
        break;
      case REQUEST:
        starts.pauseOver(alarm.subject, at);
        break;
      case ONE_NODE_TIMEOUT:
        starts.oneNodeTimeout(Long.parseLong(alarm.subject), at);
        break;
      case ASK_NODES:
        antiAffinity.askAgain(at);
        break;
      case GRACE_OVER:
        stops.graceOver(alarm.subject, at);
        break;
      case READINESS_DEADLINE:
        readiness.deadlinePassed(alarm.subject, at);
        break;
      case TOKENS:
        tokens.look();
        break;
      case WRITE_TIMEOUT:
        lifecycle.writeTimeout();
        break;
      default:
        throw new IllegalArgumentException(alarm.kind + " is no alarm of the application");
    }
  }

  /** Once after each event: see whether the application has ended. */
  public void judge(long at) {
    lifecycle.judge(at);
  }

  // Journal

  /** Add everything to the records of a new journal. */
  public void dump(Records records) {
    lifecycle.dump(records);
    services.dump(records);
    registry.dumpHistories(records);
    registry.dump(records);
  }

  /** Restore a record of the application, a service or a container from the journal. */
  public void restore(RecordKind kind, String subject, Object record) {
    Fields fields = new Fields(record, kind.key(subject));
    switch (kind) {
      case APPLICATION:
        lifecycle.restore(fields);
        break;
      case SERVICE:
        services.restore(subject, fields);
        break;
      case HISTORY:
        registry.restoreHistory(subject, fields);
        break;
      case CONTAINER:
        registry.restore(fields);
        break;
      default:
        throw new IllegalArgumentException(kind + " is no record of the application");
    }
  }

  /** All records of an earlier attempt are restored. */
  public void restored() {
    restored = true;
  }
}
