package knit.am.core.application;

import java.util.Collections;
import java.util.List;
import knit.am.core.effects.Effects;
import knit.am.core.message.Action;
import knit.am.core.message.Event;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Exits;
import knit.am.core.model.Spec;

/**
 * A container has ended, or could not be started. What follows depends on the cause:
 *
 * <ul>
 * <li>lost, preempted, or not started by YARN: replaced, without counting as a failure
 * <li>failed or succeeded: restarted if its service's restart policy allows it, else final
 * <li>stopped by the ApplicationMaster: final, or started again if its rank is wanted again
 * </ul>
 */
final class ContainerEnds {
  private final Application application;
  private final Effects effects;
  private final ContainerRegistry registry;

  ContainerEnds(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
  }

  // Causes

  /** A NodeManager did not start a container. */
  void launchFailed(Event.LaunchFailed event) {
    Container container = registry.allocated(event.yarn);
    effects.act(new Action.Release(event.yarn));
    if (container == null) {
      return;
    }
    InstanceGroup group = registry.group(container);
    String why = "could not be started: " + event.message;
    if (container.state() == ContainerState.STOPPING) {
      stopped(group, container.ended(ContainerState.KILLED, event.at, null, container.diagnostics(), none()));
      return;
    }
    application.health.failed(container.host(), event.at);
    int refusals = ++group.history(container.instance).refusals;
    if (refusals < ContainerStarts.MAX_REFUSALS) {
      registry.recordHistory(group, container.instance);
      // A NodeManager takes longer to restart than ten starts take. The first retry may get another node, so it has no pause.
      long pause = event.unreachable && refusals > 1 ? ContainerStarts.refusalPause(refusals - 1) : 0;
      replace(container, event.at, null, why, pause);
    } else {
      String often = why + " (" + ContainerStarts.MAX_REFUSALS + " times)";
      fail(group, container.ended(ContainerState.FAILED, event.at, null, often, none()), false);
    }
  }

  /** The ResourceManager reports the end of a container. */
  void completed(Event.Completed event) {
    Container container = registry.allocated(event.yarn);
    if (container == null) {
      return;
    }
    InstanceGroup group = registry.group(container);
    if (container.state() == ContainerState.STOPPING && !container.isUnready()) {
      stopped(group, container.ended(ContainerState.KILLED, event.at, event.exit, container.diagnostics(), none()));
      return;
    }
    if (container.state() == ContainerState.HELD) {
      replace(container, event.at, event.exit, "was lost before its gang was complete", 0);
      return;
    }
    if (container.startedAt() == null && event.exit >= 0) {
      // It ended before its NodeManager's reply to the start arrived.
      container = registry.update(container.running(event.at, false));
    }
    InstanceGroup.History history = group.history(container.instance);
    String yarns = yarnsDoing(group, container, event.exit);
    if (container.isUnready()) {
      application.health.failed(container.host(), event.at);
      fail(group, container.ended(ContainerState.FAILED, event.at, event.exit, container.diagnostics(),
          Exits.stderr(event.diagnostics)), true);
    } else if (yarns != null) {
      replace(container, event.at, event.exit, yarns, 0);
    } else if (Exits.filesystemAway(event.exit, event.diagnostics) && history.unfetched < ContainerStarts.MAX_REFUSALS) {
      long pause = ContainerStarts.refusalPause(++history.unfetched);
      replace(container, event.at, event.exit, "could not get its files, because their filesystem did not serve", pause);
    } else if (group.spec.success.contains(event.exit)) {
      succeed(group, container.ended(ContainerState.SUCCEEDED, event.at, event.exit, "", none()));
    } else {
      application.health.failed(container.host(), event.at);
      String story = Exits.story(container.startedAt(), event.exit, event.diagnostics, event.at);
      fail(group, container.ended(ContainerState.FAILED, event.at, event.exit, story, Exits.stderr(event.diagnostics)),
          !group.spec.fatal.contains(event.exit));
    }
  }

  /** What YARN did to a container; null if its program ended by itself. */
  private static String yarnsDoing(InstanceGroup group, Container container, int exit) {
    boolean leftInTime = exit >= 0 && container.isPreempting() && group.spec.grace > 0;
    return leftInTime && !group.spec.success.contains(exit) ? "left before its preemption" : Exits.yarnsDoing(exit);
  }

  private void succeed(InstanceGroup group, Container ended) {
    boolean again = group.spec.restart.policy == Spec.Restart.Policy.ALWAYS && mayRestart(group, ended);
    if (again) {
      restart(group, ended);
    } else {
      finish(ended);
    }
  }

  /** @param mayHelp whether a restart may lead to another end */
  void fail(InstanceGroup group, Container ended, boolean mayHelp) {
    if (mayHelp && group.spec.restart.policy != Spec.Restart.Policy.NEVER && mayRestart(group, ended)) {
      restart(group, ended);
      return;
    }
    finish(ended);
    if (ended.isLeaving()) {
      return;
    }
    if (group.spec.required) {
      application.lifecycle.fail(ended, ended.finishedAt());
    } else {
      application.services.failed(group, ended, ended.finishedAt());
    }
  }

  private boolean mayRestart(InstanceGroup group, Container ended) {
    if (ended.isLeaving() || !application.lifecycle.open()) {
      return false;
    }
    return group.history(ended.instance).mayRestart(group.spec.restart, ended.finishedAt());
  }

  /** A container that the ApplicationMaster stopped has ended. */
  private void stopped(InstanceGroup group, Container ended) {
    if (!ended.isWantedAgain() || !application.lifecycle.open()) {
      finish(ended);
      return;
    }
    forget(ended);
    effects.timeline.add(ended.finishedAt(), "container-ended", ended.id(), ended.state() + ": " + ended.diagnostics());
    group.killed++;
    application.services.record(group);
    registry.archive(ended);
    application.starts.begin(group, ended.instance, ended.finishedAt());
    application.services.changed(group, ended.finishedAt());
  }

  // Consequences

  /** Start another attempt, after a pause that doubles while runs are short. */
  private void restart(InstanceGroup group, Container ended) {
    Spec.Restart rule = group.spec.restart;
    InstanceGroup.History history = group.history(ended.instance);
    long at = ended.finishedAt();
    long ran = ended.startedAt() == null ? 0 : at - ended.startedAt();
    long pause = history.restart(rule, at, ran);
    group.restarts++;
    forget(ended);
    registry.archive(ended);
    Container next = registry.update(group.begin(ended.instance).delayed(at + pause));
    registry.recordHistory(group, ended.instance);
    application.services.record(group);
    effects.timeline.add(at, "container-restart", ended.id(), ended.state()
        + (ended.diagnostics().isEmpty() ? "" : ": " + ended.diagnostics()) + "; restart " + history.restarts + " in "
        + Exits.seconds(pause));
    if (pause == 0) {
      application.starts.request(group, next, at);
    } else {
      application.starts.requestAt(next, at + pause);
    }
    application.services.changed(group, at);
  }

  /**
   * Start another container for one that YARN ended or did not start. It does not count as a failure of its program.
   *
   * @param pause milliseconds before the next container is requested
   */
  private void replace(Container container, long at, Integer exit, String why, long pause) {
    InstanceGroup group = registry.group(container);
    Container ended = container.ended(ContainerState.KILLED, at, exit, why + "; replaced", none());
    forget(ended);
    effects.timeline.add(at, "container-lost", ended.id(), ended.yarn() + " " + ended.diagnostics());
    if (ended.isLeaving() || !application.lifecycle.open()) {
      finish(ended);
      return;
    }
    registry.archive(ended);
    group.restarts++;
    application.services.record(group);
    if (pause == 0) {
      application.starts.begin(group, ended.instance, at);
    } else {
      application.starts.beginDelayed(group, ended.instance, at + pause);
    }
    application.services.changed(group, at);
  }

  /** No other attempt follows this one. */
  void finish(Container ended) {
    InstanceGroup group = registry.group(ended);
    forget(ended);
    effects.timeline.add(ended.finishedAt(), "container-ended", ended.id(),
        ended.state() + (ended.diagnostics().isEmpty() ? "" : ": " + ended.diagnostics()));
    if (ended.state() == ContainerState.KILLED) {
      group.killed++;
      application.services.record(group);
    }
    if (ended.isLeaving()) {
      registry.remove(ended);
    } else {
      registry.update(ended);
    }
    application.services.changed(group, ended.finishedAt());
  }

  /** Drop what is kept for a live container: its alarms, its readiness check, its pages. */
  private void forget(Container ended) {
    registry.forget(ended);
    application.antiAffinity.requestOver(ended);
    if (ended.yarn() != null) {
      application.stops.ended(ended.yarn());
      application.readiness.ended(ended.yarn());
      application.takeover.ended(ended.yarn());
      application.lifecycle.stopped(ended.yarn());
      application.store.containerEnded(ended.yarn());
    }
  }

  private static List<String> none() {
    return Collections.emptyList();
  }
}
