package knit.am.core.application;

import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Exits;
import knit.am.core.model.Outcome;
import knit.am.json.Fields;
import knit.am.json.Json;

/** When and with which outcome the application ends, and the order of its end: docs/protocol.md, section 7. */
final class Lifecycle {
  /** Milliseconds for writing result.json. */
  static final long WRITE_TIMEOUT = 90_000;

  /** The phases, in order. */
  enum Phase {
    STARTING,
    RUNNING,
    /** Containers are being stopped. */
    STOPPING,
    /** The result is being written. */
    WRITING,
    /** The application is being unregistered. */
    UNREGISTERING,
    ENDED
  }

  private final Application application;
  private final Effects effects;
  private final ContainerRegistry registry;
  /** Containers that are being stopped, by YARN's id. */
  private final Set<String> stops = new HashSet<>();
  private Phase phase = Phase.STARTING;
  private long startedAt;
  private Double progress;
  private Outcome outcome;
  private Integer exitCode;
  private String diagnostics = "";

  Lifecycle(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
  }

  Phase phase() {
    return phase;
  }

  /** Whether the application is not ending yet. */
  boolean open() {
    return outcome == null && phase.compareTo(Phase.STOPPING) < 0;
  }

  /** Whether only this attempt ends: what it would still accept is not recorded, and the next attempt would not know of it. */
  boolean abandoned() {
    return phase == Phase.ENDED && outcome == null;
  }

  Outcome outcome() {
    return outcome;
  }

  long startedAt() {
    return startedAt;
  }

  Double progress() {
    return progress;
  }

  void progress(double fraction, long at) {
    progress = fraction;
    effects.changes.putLazily(RecordKind.APPLICATION, "", values(), at);
  }

  void started(long at) {
    startedAt = startedAt == 0 ? at : Math.min(at, startedAt);
    if (effects.spec.lifetime > 0) {
      effects.alarms.set(Alarms.Kind.LIFETIME, startedAt + effects.spec.lifetime * 1000);
    }
    record();
  }

  void registered() {
    if (phase == Phase.STARTING) {
      phase = outcome == null ? Phase.RUNNING : Phase.STOPPING;
    }
  }

  void shutdown(Call.Shutdown call) {
    stop(call.outcome, call.diagnostics, call.at);
    effects.answer(call, Json.map("state", "STOPPING"));
  }

  void stop(Outcome how, String why, long at) {
    if (!open()) {
      return;
    }
    phase = Phase.STOPPING;
    outcome = how;
    diagnostics = Exits.clip(why);
    record();
    effects.timeline.add(at, "stopping", null, how + (diagnostics.isEmpty() ? "" : ": " + diagnostics));
    for (Container container : registry.present()) {
      if (container.live() && container.state() != ContainerState.STOPPING) {
        application.stops.stop(container, "ended with the application", at);
      }
    }
  }

  /** The application fails because of a container. */
  void fail(Container failed, long at) {
    if (open()) {
      exitCode = failed.exitCode();
      stop(Outcome.FAILED, failed.failure(), at);
    }
  }

  /**
   * Once after each event: end the application when its services have succeeded or nothing can run any more, and write the result
   * when all containers are stopped.
   */
  void judge(long at) {
    if (open()) {
      stopIfOver(at);
    }
    if (phase == Phase.STOPPING && (registry.live() == 0 || stops.isEmpty())) {
      write(at);
    }
  }

  private void stopIfOver(long at) {
    boolean all = !effects.spec.completion.isEmpty();
    boolean over = true;
    int members = 0;
    int failed = 0;
    for (InstanceGroup group : registry.groups()) {
      InstanceCounts counts = group.counts();
      members += counts.members;
      failed += counts.failed;
      over &= counts.live == 0;
      if (effects.spec.completion.contains(group.spec.name)) {
        all &= counts.members > 0 && counts.succeeded == counts.members;
      }
    }
    if (all) {
      exitCode = 0;
      stop(Outcome.SUCCEEDED, "", at);
    } else if (over && members > 0) {
      end(failed, at);
    }
  }

  /** No container is live, and none will be. */
  private void end(int failed, long at) {
    for (Container container : registry.present()) {
      if (container.state() == ContainerState.FAILED) {
        exitCode = container.exitCode();
        stop(Outcome.FAILED, "all have ended, " + failed + " failed: " + container.failure(), at);
        return;
      }
    }
    for (String name : effects.spec.completion) {
      if (registry.group(name).instances() == 0) {
        return; // scaled to 0: it may be scaled up again
      }
    }
    exitCode = 0;
    stop(Outcome.SUCCEEDED, "", at);
  }

  /** The result is not written before this container has ended. */
  void awaitStop(String yarn) {
    stops.add(yarn);
  }

  void stopped(String yarn) {
    stops.remove(yarn);
  }

  private void write(long at) {
    phase = Phase.WRITING;
    effects.alarms.set(Alarms.Kind.WRITE_TIMEOUT, at + WRITE_TIMEOUT);
    effects.timeline.add(at, "finished", null, outcome.name());
    effects.act(new Action.WriteResult(application.views().result(outcome, exitCode, diagnostics, at)));
  }

  /**
   * SIGTERM: write the result, but do not unregister, because another attempt may follow. Nothing is recorded: the process may
   * live for some seconds more, and the next attempt would end the application with what it reads in the journal.
   */
  void terminated(long at) {
    if (phase.compareTo(Phase.STOPPING) > 0) {
      return;
    }
    phase = Phase.ENDED;
    effects.act(new Action.WriteResult(outcome != null
        ? application.views().result(outcome, exitCode, diagnostics, at)
        : application.views().result(Outcome.KILLED, exitCode, "the ApplicationMaster was ended from outside", at)));
  }

  void resultWritten(String problem) {
    if (phase != Phase.WRITING) {
      return;
    }
    phase = Phase.UNREGISTERING;
    effects.alarms.cancel(Alarms.Kind.WRITE_TIMEOUT);
    if (problem != null) {
      diagnostics = Exits.clip((diagnostics + " (result.json could not be written: " + problem + ")"));
      record();
    }
    effects.act(new Action.Unregister(outcome, diagnostics));
  }

  void unregistered() {
    if (phase == Phase.UNREGISTERING) {
      phase = Phase.ENDED;
      effects.act(new Action.Exit(0));
    }
  }

  void disowned() {
    phase = Phase.ENDED;
    effects.act(new Action.Exit(1));
  }

  void lifetimeOver(long at) {
    stop(Outcome.KILLED, "ran for longer than its lifetime of " + effects.spec.lifetime + " s", at);
  }

  void writeTimeout() {
    resultWritten("no answer for " + WRITE_TIMEOUT / 1000 + " s");
  }

  private void record() {
    effects.changes.put(RecordKind.APPLICATION, "", values());
  }

  private Map<String, Object> values() {
    return Json.map("startedAt", startedAt, "progress", progress, "outcome", outcome == null ? null : outcome.name(),
        "exitCode", exitCode, "diagnostics", diagnostics);
  }

  void dump(Records records) {
    records.put(RecordKind.APPLICATION, "", values());
  }

  void restore(Fields record) {
    startedAt = record.whole("startedAt", 0, Long.MAX_VALUE);
    Number done = (Number) record.any("progress");
    progress = done == null ? null : done.doubleValue();
    String how = (String) record.any("outcome");
    Long exit = (Long) record.any("exitCode");
    exitCode = exit == null ? null : exit.intValue();
    diagnostics = record.text("diagnostics");
    // An application that was ending goes on ending when the ResourceManager has named its containers.
    outcome = how == null ? null : Outcome.valueOf(how);
  }
}
