package knit.am.core;

import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import knit.am.json.Fields;
import knit.am.json.Json;

/** How the application ends: when, as what, and in which order. The rules are those of docs/protocol.md, section 7. */
final class Lifecycle {
  static final long WRITE_PATIENCE = 90_000;
  static final String RECORD = "a";
  private static final String WRITE = "write";
  private static final String LIFETIME = "lifetime";

  /** Where the application stands. */
  enum Phase {
    STARTING,
    RUNNING,
    /** Containers are being ended. */
    STOPPING,
    /** The result is being written. */
    WRITING,
    LEAVING,
    GONE
  }

  private final Context context;
  /** Containers whose end is waited for, by YARN's id. */
  private final Set<String> stops = new HashSet<>();
  private Phase phase = Phase.STARTING;
  private long startedAt;
  private Double progress;
  private Outcome outcome;
  private Integer exitCode;
  private String diagnostics = "";

  Lifecycle(Context context) {
    this.context = context;
  }

  Phase phase() {
    return phase;
  }

  /** Whether it is not ending yet. */
  boolean open() {
    return outcome == null && phase.compareTo(Phase.STOPPING) < 0;
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
    context.changes.putLazily(RECORD, record(), at);
  }

  void started(long at) {
    startedAt = startedAt == 0 ? at : Math.min(at, startedAt);
    if (context.spec.lifetime > 0) {
      context.alarms.set(LIFETIME, startedAt + context.spec.lifetime * 1000);
    }
    note();
  }

  void registered() {
    if (phase == Phase.STARTING) {
      phase = outcome == null ? Phase.RUNNING : Phase.STOPPING;
    }
  }

  void stop(Outcome how, String why, long at) {
    if (!open()) {
      return;
    }
    phase = Phase.STOPPING;
    outcome = how;
    diagnostics = Exits.clip(why);
    note();
    context.log.add(at, "stopping", null, how + (diagnostics.isEmpty() ? "" : ": " + diagnostics));
    for (Container container : context.roster.present()) {
      if (container.live() && container.state() != ContainerState.STOPPING) {
        context.instances.dismiss(container, "ended with the application", at);
      }
    }
    judge(at);
  }

  /** The application fails because of a container. */
  void fail(Container failed, long at) {
    if (open()) {
      exitCode = failed.exitCode();
      stop(Outcome.FAILED, Exits.oneLine(failed), at);
    }
  }

  /** Has everything succeeded that must, has everything ended, has everything that was to be stopped ended? */
  void judge(long at) {
    if (phase == Phase.STOPPING) {
      if (context.roster.live() == 0 || stops.isEmpty()) {
        write(at);
      }
      return;
    }
    if (!open()) {
      return;
    }
    boolean all = !context.spec.completion.isEmpty();
    boolean over = true;
    int members = 0;
    int failed = 0;
    for (Group group : context.roster.groups()) {
      InstanceCounts tally = group.tally();
      members += tally.members;
      failed += tally.failed;
      over &= tally.live == 0;
      if (context.spec.completion.contains(group.spec.name)) {
        all &= tally.members > 0 && tally.succeeded == tally.members;
      }
    }
    if (all) {
      exitCode = 0;
      stop(Outcome.SUCCEEDED, "", at);
    } else if (over && members > 0) {
      end(failed, at);
    }
  }

  /** Nothing lives and nothing will. */
  private void end(int failed, long at) {
    for (Container container : context.roster.present()) {
      if (container.state() == ContainerState.FAILED) {
        exitCode = container.exitCode();
        stop(Outcome.FAILED, "all have ended, " + failed + " failed: " + Exits.oneLine(container), at);
        return;
      }
    }
    for (String name : context.spec.completion) {
      if (context.roster.group(name).instances() == 0) {
        return; // scaled to nothing: it may be scaled up again
      }
    }
    exitCode = 0;
    stop(Outcome.SUCCEEDED, "", at);
  }

  /** Its end is waited for. */
  void awaitStop(String yarn) {
    stops.add(yarn);
  }

  void stopped(String yarn) {
    stops.remove(yarn);
  }

  private void write(long at) {
    phase = Phase.WRITING;
    context.alarms.set(WRITE, at + WRITE_PATIENCE);
    context.log.add(at, "finished", null, outcome.name());
    context.act(new Action.WriteResult(new Views(context).result(outcome, exitCode, diagnostics, at)));
  }

  /**
   * The process gets SIGTERM: write a result, leave the ResourceManager alone. Nothing is recorded, because the process may live
   * for some seconds more, and the next attempt would end the application with what it reads in the journal.
   */
  void terminated(long at) {
    if (phase.compareTo(Phase.STOPPING) > 0) {
      return;
    }
    phase = Phase.GONE;
    context.act(new Action.WriteResult(outcome != null
        ? new Views(context).result(outcome, exitCode, diagnostics, at)
        : new Views(context).result(Outcome.KILLED, exitCode, "the ApplicationMaster was ended from outside", at)));
  }

  void resultWritten(String problem) {
    if (phase != Phase.WRITING) {
      return;
    }
    phase = Phase.LEAVING;
    context.alarms.cancel(WRITE);
    if (problem != null) {
      diagnostics = Exits.clip((diagnostics + " (result.json could not be written: " + problem + ")"));
      note();
    }
    context.act(new Action.Unregister(outcome, diagnostics));
  }

  void unregistered() {
    if (phase == Phase.LEAVING) {
      phase = Phase.GONE;
      context.act(new Action.Exit(0));
    }
  }

  void disowned() {
    phase = Phase.GONE;
    context.act(new Action.Exit(1));
  }

  /** An alarm has gone off; whether it was one of ours. */
  boolean alarm(String key, long at) {
    if (key.equals(LIFETIME)) {
      stop(Outcome.KILLED, "ran for longer than its lifetime of " + context.spec.lifetime + " s", at);
    } else if (key.equals(WRITE)) {
      resultWritten("no answer for " + WRITE_PATIENCE / 1000 + " s");
    } else {
      return false;
    }
    return true;
  }

  private void note() {
    context.changes.put(RECORD, record());
  }

  private Map<String, Object> record() {
    return Json.map("startedAt", startedAt, "progress", progress, "outcome", outcome == null ? null : outcome.name(),
        "exitCode", exitCode, "diagnostics", diagnostics);
  }

  void dump(Map<String, Object> records) {
    records.put(RECORD, record());
  }

  void restore(Fields record) {
    startedAt = record.whole("startedAt", 0, Long.MAX_VALUE);
    Number done = (Number) record.any("progress");
    progress = done == null ? null : done.doubleValue();
    String how = (String) record.any("outcome");
    Long exit = (Long) record.any("exitCode");
    exitCode = exit == null ? null : exit.intValue();
    diagnostics = record.text("diagnostics");
    // What an earlier attempt was ending is ended once the ResourceManager has said what is left of it.
    outcome = how == null ? null : Outcome.valueOf(how);
  }
}
