package knit.am.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import knit.am.json.Json;

/** The life of containers: asked for, given, started, ready, ended, and what takes their place. */
final class Instances {
  /** Milliseconds that a NodeManager has to end a container. */
  static final long STOP_PATIENCE = 5_000;
  static final int MAX_REFUSALS = 10;
  /** Milliseconds before a refused request is made again; doubled each time. */
  static final long FIRST_REFUSAL_PAUSE = 1_000;
  static final long LONGEST_REFUSAL_PAUSE = 60_000;
  static final String RESTART = "restart ";
  private static final String TERM = "term ";
  private static final String KILL = "kill ";
  static final String LOST = "lost ";

  private final Context context;
  private final NodeHealth health;
  private final AntiAffinity spread;
  private final ReadinessChecks readying;
  private final Takeover takeover;
  private long nextRequest;

  Instances(Context context) {
    this.context = context;
    health = new NodeHealth(context);
    spread = new AntiAffinity(context);
    readying = new ReadinessChecks(context, this);
    takeover = new Takeover(context, this, readying);
    // An attempt never uses the numbers of the one before: what that one asked for may still be given.
    nextRequest = (context.identity.attempt - 1) * 1_000_000_000L + 1;
  }

  NodeHealth health() {
    return health;
  }

  ReadinessChecks readying() {
    return readying;
  }

  Takeover takeover() {
    return takeover;
  }

  // Asked for and given

  /** A new attempt of a rank, asked for at once if its service may start. */
  void begin(Group group, int rank, long at) {
    Container container = context.roster.update(group.begin(rank));
    remember(group, rank);
    if (group.released) {
      request(group, container, at);
    }
  }

  void request(Group group, Container container, long at) {
    AntiAffinity.Choice choice = group.spec.spread ? spread.choose(group, at) : AntiAffinity.ANYWHERE;
    if (choice == null) {
      context.roster.update(container.waiting()); // until the nodes are known
      return;
    }
    Container asked = context.roster.update(container.requested(nextRequest++, at));
    spread.chosen(asked, choice, at);
    context.act(new Action.Request(asked.request(), group.spec, choice.hosts));
    context.log.add(at, "container-requested", asked.id(), null);
  }

  /** Take a request back and make it anew. */
  void requestAgain(Container asked, long at) {
    context.roster.waited(asked.request());
    context.act(new Action.Cancel(asked.request()));
    request(context.roster.group(asked), asked, at);
  }

  void nodes(Event.Nodes event) {
    spread.nodes(event);
    for (Group group : context.roster.groups()) {
      if (group.spec.spread && group.released && context.ending.open()) {
        for (Container container : copy(group)) {
          if (container.state() == ContainerState.WAITING && container.notBefore() <= event.at) {
            request(group, container, event.at);
          }
        }
      }
    }
  }

  void granted(Event.Grant grant, long at) {
    Container container = context.roster.waited(grant.request);
    if (container == null) {
      context.act(new Action.Release(grant.yarn));
      return;
    }
    Group group = context.roster.group(container);
    spread.given(container);
    if (group.spec.spread && spread.taken(group, grant.host())) {
      context.act(new Action.Release(grant.yarn));
      request(group, container, at);
      return;
    }
    if (group.ganged) {
      launch(group, container.starting(grant), at);
    } else {
      Container held = context.roster.update(container.held(grant));
      context.log.add(at, "container-held", held.id(), grant.yarn + " on " + grant.node);
      context.services.changed(group, at);
    }
  }

  /** The ResourceManager refuses requests: they are made again, later and later, since its queues may change; then it is enough. */
  void refused(Event.RequestsRefused event) {
    String why = "YARN refuses its request: " + Exits.clip(event.message);
    Set<String> services = new TreeSet<>();
    for (long request : event.requests) {
      Container container = context.roster.waited(request);
      if (container == null) {
        continue;
      }
      services.add(container.service);
      Group group = context.roster.group(container);
      Group.History history = group.history(container.instance);
      spread.given(container);
      if (++history.refusals >= MAX_REFUSALS) {
        fail(group, container.ended(ContainerState.FAILED, event.at, null, why + " (" + MAX_REFUSALS + " times)", none()),
            false);
        continue;
      }
      remember(group, container.instance);
      long again = event.at + refusalPause(history.refusals);
      Container refused = context.roster.update(container.refused(why, again));
      context.alarms.set(RESTART + refused.key(), again);
    }
    if (!services.isEmpty()) {
      context.log.add(event.at, "request-refused", null, String.join(", ", services) + ": " + event.message);
    }
  }

  private static long refusalPause(int refusals) {
    return Math.min(LONGEST_REFUSAL_PAUSE, FIRST_REFUSAL_PAUSE << (refusals - 1));
  }

  /** Start a container that was given. */
  void launch(Group group, Container container, long at) {
    Container starting = context.roster.update(container);
    context.act(new Action.Launch(starting, group.spec, group.instances()));
    context.log.add(at, "container-allocated", starting.id(), starting.yarn() + " on " + starting.node());
  }

  void launched(String yarn, long at) {
    Container container = context.roster.allocated(yarn);
    if (container == null) {
      return;
    }
    if (container.state() == ContainerState.STOPPING) {
      // The order to stop may have reached the NodeManager before the container did.
      context.act(new Action.Stop(container));
    } else if (container.state() == ContainerState.STARTING) {
      began(container, at);
    }
  }

  void began(Container container, long at) {
    Group group = context.roster.group(container);
    if (group.history(container.instance).refusals > 0) {
      group.history(container.instance).refusals = 0;
      remember(group, container.instance);
    }
    Container running = context.roster.update(container.running(at, group.spec.readiness == null));
    context.log.add(at, "container-started", running.id(), null);
    readying.watch(group, running, at);
    context.services.changed(group, at);
  }

  void launchFailed(Event.LaunchFailed event) {
    Container container = context.roster.allocated(event.yarn);
    context.act(new Action.Release(event.yarn));
    if (container == null) {
      return;
    }
    Group group = context.roster.group(container);
    String why = "could not be started: " + event.message;
    if (container.state() == ContainerState.STOPPING) {
      stopped(group, container.ended(ContainerState.KILLED, event.at, null, container.diagnostics(), none()));
      return;
    }
    health.failed(container.host(), event.at);
    int refusals = ++group.history(container.instance).refusals;
    if (refusals < MAX_REFUSALS) {
      remember(group, container.instance);
      // A NodeManager that restarts is away for longer than ten starts take; another node may do at once.
      replace(container, event.at, null, why, event.unreachable && refusals > 1 ? refusalPause(refusals - 1) : 0);
    } else {
      fail(group, container.ended(ContainerState.FAILED, event.at, null, why + " (" + MAX_REFUSALS + " times)", none()), false);
    }
  }

  // Ended

  void completed(Event.Completed event) {
    Container container = context.roster.allocated(event.yarn);
    if (container == null) {
      return;
    }
    Group group = context.roster.group(container);
    if (container.state() == ContainerState.STOPPING && !container.isCondemned()) {
      stopped(group, container.ended(ContainerState.KILLED, event.at, event.exit, container.diagnostics(), none()));
      return;
    }
    if (container.state() == ContainerState.HELD) {
      replace(container, event.at, event.exit, "was lost before its gang was complete", 0);
      return;
    }
    if (container.startedAt() == null && event.exit >= 0) {
      // It ended before we heard that it had begun.
      container = context.roster.update(container.running(event.at, false));
    }
    boolean mayLeave = event.exit >= 0 && container.isPreempting() && group.spec.grace > 0;
    String yarns = mayLeave && !group.spec.success.contains(event.exit) ? "left, as it was to be preempted" : Exits.yarnsDoing(event.exit);
    if (container.isCondemned()) {
      health.failed(container.host(), event.at);
      fail(group, container.ended(ContainerState.FAILED, event.at, event.exit, container.diagnostics(),
          Exits.stderr(event.diagnostics)), true);
    } else if (yarns != null) {
      replace(container, event.at, event.exit, yarns, 0);
    } else if (Exits.filesystemAway(event.exit, event.diagnostics) && group.history(container.instance).unfetched < MAX_REFUSALS) {
      long pause = refusalPause(++group.history(container.instance).unfetched);
      replace(container, event.at, event.exit, "could not get its files, as their filesystem did not serve", pause);
    } else if (group.spec.success.contains(event.exit)) {
      succeed(group, container.ended(ContainerState.SUCCEEDED, event.at, event.exit, "", none()));
    } else {
      health.failed(container.host(), event.at);
      String story = Exits.story(container, event.exit, event.diagnostics, event.at);
      fail(group, container.ended(ContainerState.FAILED, event.at, event.exit, story, Exits.stderr(event.diagnostics)),
          !group.spec.fatal.contains(event.exit));
    }
  }

  /** YARN tells beforehand, again and again: whose service has a grace is told once, to leave in order. */
  void preempting(Event.Preempting event) {
    for (String yarn : event.yarns) {
      Container container = context.roster.allocated(yarn);
      if (container == null || container.isPreempting() || container.state() == ContainerState.STOPPING) {
        continue;
      }
      Container warned = context.roster.update(container.preempting());
      context.log.add(event.at, "container-preempting", warned.id(), yarn + " on " + warned.node());
      if (warned.state() == ContainerState.RUNNING && context.roster.group(warned).spec.grace > 0) {
        context.act(new Action.Signal(warned));
      }
    }
  }

  private void succeed(Group group, Container ended) {
    boolean again = group.spec.restart.policy == Spec.Restart.Policy.ALWAYS && mayRestart(group, ended);
    if (again) {
      restart(group, ended);
    } else {
      settle(ended);
    }
  }

  private void fail(Group group, Container ended, boolean curable) {
    if (curable && group.spec.restart.policy != Spec.Restart.Policy.NEVER && mayRestart(group, ended)) {
      restart(group, ended);
      return;
    }
    settle(ended);
    if (ended.isLeaving()) {
      return;
    }
    if (group.spec.required) {
      context.ending.fail(ended, ended.finishedAt());
    } else {
      context.services.failed(group, ended, ended.finishedAt());
    }
  }

  private boolean mayRestart(Group group, Container ended) {
    if (ended.isLeaving() || !context.ending.open()) {
      return false;
    }
    return group.history(ended.instance).mayRestart(group.spec.restart, ended.finishedAt());
  }

  /** Another attempt follows, after a pause that doubles while it goes on failing soon. */
  private void restart(Group group, Container ended) {
    Spec.Restart rule = group.spec.restart;
    Group.History history = group.history(ended.instance);
    long at = ended.finishedAt();
    long ran = ended.startedAt() == null ? 0 : at - ended.startedAt();
    long pause = history.restart(rule, at, ran);
    group.restarts++;
    bury(ended);
    context.roster.archive(ended);
    Container next = context.roster.update(group.begin(ended.instance).delayed(at + pause));
    remember(group, ended.instance);
    context.services.note(group);
    context.log.add(at, "container-restart", ended.id(), ended.state() + (ended.diagnostics().isEmpty() ? "" : ": "
        + ended.diagnostics()) + "; restart " + history.restarts + " in " + Exits.seconds(pause));
    if (pause == 0) {
      request(group, next, at);
    } else {
      context.alarms.set(RESTART + next.key(), at + pause);
    }
    context.services.changed(group, at);
  }

  private void delayOver(String key, long at) {
    int slash = key.lastIndexOf('/');
    Container container = context.roster.find(key.substring(0, slash));
    if (container != null && container.state() == ContainerState.WAITING && container.key().equals(key)) {
      request(context.roster.group(container), container, at);
    }
  }

  /** A container that we stopped has ended. */
  private void stopped(Group group, Container ended) {
    if (!ended.isWantedAgain() || !context.ending.open()) {
      settle(ended);
      return;
    }
    bury(ended);
    context.log.add(ended.finishedAt(), "container-ended", ended.id(), ended.state() + ": " + ended.diagnostics());
    group.killed++;
    context.services.note(group);
    context.roster.archive(ended);
    begin(group, ended.instance, ended.finishedAt());
    context.services.changed(group, ended.finishedAt());
  }

  /** A container has ended for good; see what that means for the application. */
  private void settle(Container ended) {
    Group group = context.roster.group(ended);
    bury(ended);
    context.log.add(ended.finishedAt(), "container-ended", ended.id(),
        ended.state() + (ended.diagnostics().isEmpty() ? "" : ": " + ended.diagnostics()));
    if (ended.state() == ContainerState.KILLED) {
      group.killed++;
      context.services.note(group);
    }
    if (ended.isLeaving()) {
      context.roster.remove(ended);
    } else {
      context.roster.update(ended);
    }
    context.services.changed(group, ended.finishedAt());
  }

  /** YARN took a container away: that is not its program's doing, so another takes its place at once. */
  /** @param pause milliseconds before the next container is asked for */
  private void replace(Container container, long at, Integer exit, String why, long pause) {
    Group group = context.roster.group(container);
    Container ended = container.ended(ContainerState.KILLED, at, exit, why + "; replaced", none());
    bury(ended);
    context.log.add(at, "container-lost", ended.id(), ended.yarn() + " " + ended.diagnostics());
    if (ended.isLeaving() || !context.ending.open()) {
      settle(ended);
      return;
    }
    context.roster.archive(ended);
    group.restarts++;
    context.services.note(group);
    if (pause == 0) {
      begin(group, ended.instance, at);
    } else {
      Container next = context.roster.update(group.begin(ended.instance).delayed(at + pause));
      remember(group, ended.instance);
      context.alarms.set(RESTART + next.key(), at + pause);
    }
    context.services.changed(group, at);
  }

  private void bury(Container ended) {
    context.roster.forget(ended);
    spread.given(ended);
    if (ended.yarn() != null) {
      for (String kind : new String[] {TERM, KILL, ReadinessChecks.PROBE, ReadinessChecks.UNREADY, LOST}) {
        context.alarms.cancel(kind + ended.yarn());
      }
      context.ending.stopped(ended.yarn());
      context.pages.ended(ended.yarn());
      readying.ended(ended.yarn());
    }
  }

  /** End a live container: a request is taken back, an allocated container stopped, with time to do it well. */
  Container dismiss(Container container, String why, long at) {
    Group group = context.roster.group(container);
    if (!container.state().begun()) {
      if (container.state() == ContainerState.REQUESTED) {
        context.act(new Action.Cancel(container.request()));
      } else if (container.state() == ContainerState.HELD) {
        context.act(new Action.Release(container.yarn()));
      } else {
        context.alarms.cancel(RESTART + container.key());
      }
      Container ended = container.ended(ContainerState.KILLED, at, null, why, none());
      settle(ended);
      return ended;
    }
    context.ending.awaitStop(container.yarn());
    if (group.spec.grace > 0 && container.state() == ContainerState.RUNNING) {
      context.act(new Action.Signal(container));
      context.alarms.set(TERM + container.yarn(), at + group.spec.grace);
    } else {
      term(container, at);
    }
    return context.roster.update(container.stopping(why));
  }

  private void term(Container container, long at) {
    context.act(new Action.Stop(container));
    context.alarms.set(KILL + container.yarn(), at + STOP_PATIENCE);
  }

  void kill(Event.Kill event) {
    Container found = context.roster.find(event.container);
    if (found == null) {
      context.refuse(event, 404, "unknown-container", "no container \"" + event.container + "\"");
      return;
    }
    if (!found.live()) {
      context.refuse(event, 409, "ended", found.id() + " has ended already: " + found.state());
      return;
    }
    Container container = found;
    if (found.state() != ContainerState.STOPPING) {
      context.log.add(event.at, "container-kill", found.id(), null);
      container = dismiss(context.roster.update(found.leaving()), "killed on request", event.at);
    } else if (found.isWantedAgain()) {
      container = context.roster.update(found.leaving());
    }
    context.answer(event, Json.map("id", container.id(), "state", container.state().name()));
  }

  // Time

  /** An alarm has gone off; whether it was one of ours. */
  boolean alarm(String key, long at) {
    String rest = key.substring(key.indexOf(' ') + 1);
    if (key.startsWith(RESTART)) {
      delayOver(rest, at);
    } else if (key.startsWith(TERM)) {
      term(context.roster.allocated(rest), at);
    } else if (key.startsWith(KILL)) {
      // Its NodeManager did not say that it ended it: the ResourceManager can.
      context.act(new Action.Release(rest));
      context.ending.stopped(rest);
    } else if (key.startsWith(ReadinessChecks.PROBE)) {
      readying.probe(rest);
    } else if (key.startsWith(ReadinessChecks.UNREADY)) {
      readying.unready(rest, at);
    } else if (key.startsWith(LOST)) {
      completed(new Event.Completed(at, rest, Exits.LOST, "lost while no ApplicationMaster was there"));
    } else if (spread.alarm(key)) {
      Container container = spread.overdue(key, at);
      if (container != null) {
        requestAgain(container, at);
      }
    } else {
      return health.alarm(key, at);
    }
    return true;
  }

  // Small

  /** Write a rank's history down. */
  void remember(Group group, int rank) {
    context.changes.put(historyKey(group, rank), group.history(rank).record());
  }

  private static String historyKey(Group group, int rank) {
    return "h " + group.spec.name + "_" + rank;
  }

  void dump(Map<String, Object> records) {
    for (Group group : context.roster.groups()) {
      group.histories().forEach((rank, history) -> records.put(historyKey(group, rank), history.record()));
    }
  }

  static List<Container> copy(Group group) {
    List<Container> all = new ArrayList<>();
    group.all().forEach(all::add);
    return all;
  }

  private static List<String> none() {
    return Collections.emptyList();
  }
}
