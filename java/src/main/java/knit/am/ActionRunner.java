package knit.am;

import java.io.IOException;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import knit.am.api.Api;
import knit.am.core.message.Action;
import knit.am.core.message.Event;
import knit.am.core.model.Identity;
import knit.am.gateway.ApplicationFolder;
import knit.am.gateway.DelegationTokens;
import knit.am.gateway.JournalFiles;
import knit.am.gateway.NodeLogs;
import knit.am.gateway.NodeManagers;
import knit.am.gateway.Probes;
import knit.am.gateway.ResourceManager;
import knit.am.json.Json;
import knit.am.util.Clock;
import knit.am.util.Log;

/** Carries out the reducer's actions through the gateways. Calls that block run on other threads; events report their results. */
final class ActionRunner {
  /** Threads for calls to the ResourceManager that are not heartbeats. */
  private static final int MANAGER_THREADS = 4;
  /** Milliseconds in which result.json must be written. */
  private static final long RESULT_TIMEOUT = 60_000;

  /** The event loop, as far as this class needs it. */
  interface Loop {
    void post(Event event);

    /** End the loop. */
    void exit(int code);

    /** A thread whose death ends the attempt. */
    Thread thread(Runnable task, String name);

    ExecutorService pool(int threads, String name);
  }

  private final Identity identity;
  private final ContainerEnvironment environment;
  private final Clock clock;
  private final ResourceManager manager;
  private final NodeManagers nodes;
  private final Probes probes;
  private final ApplicationFolder folder;
  private final DelegationTokens tokens;
  private final Heartbeat heartbeat;
  private final Loop loop;
  private final NodeManagerCalls nodeCalls;
  private final ExecutorService managerCalls;
  private final LogCalls logCalls;
  private final CountDownLatch resultWritten = new CountDownLatch(1);
  private volatile boolean ending;
  private volatile boolean launched;

  ActionRunner(Identity identity, ContainerEnvironment environment, Clock clock, ResourceManager manager, NodeManagers nodes,
      Probes probes, NodeLogs logs, ApplicationFolder folder, DelegationTokens tokens, Heartbeat heartbeat, Loop loop) {
    this.identity = identity;
    this.environment = environment;
    this.clock = clock;
    this.manager = manager;
    this.nodes = nodes;
    this.probes = probes;
    this.folder = folder;
    this.tokens = tokens;
    this.heartbeat = heartbeat;
    this.loop = loop;
    nodeCalls = new NodeManagerCalls(loop.pool(NodeManagerCalls.THREADS, "node"));
    managerCalls = loop.pool(MANAGER_THREADS, "ask");
    logCalls = new LogCalls(loop.pool(LogCalls.THREADS, "logs"), logs, clock);
  }

  /** Carry out an action. Does not block. */
  void run(Action action) {
    if (!container(action) && !manager(action)) {
      application(action);
    }
  }

  private boolean container(Action action) {
    if (action instanceof Action.Launch) {
      Action.Launch launch = (Action.Launch) action;
      nodeCalls.add(launch.node, call(() -> launch(launch), error -> notLaunched(launch, error)));
    } else if (action instanceof Action.Stop) {
      String yarn = ((Action.Stop) action).yarn;
      nodeCalls.add(((Action.Stop) action).node, call(() -> nodes.stop(yarn), error -> notStopped(yarn, error)));
    } else if (action instanceof Action.Signal) {
      String yarn = ((Action.Signal) action).yarn;
      nodeCalls.add(((Action.Signal) action).node, call(() -> nodes.signal(yarn),
          error -> Log.line(yarn + " could not be sent SIGTERM: " + Log.reason(error))));
    } else if (action instanceof Action.Probe) {
      Action.Probe probe = (Action.Probe) action;
      probes.probe(probe.host, probe.readiness,
          ready -> loop.post(new Event.Probed(clock.now(), probe.yarn, ready)));
    } else if (action instanceof Action.ReadLog) {
      logCalls.add((Action.ReadLog) action);
    } else {
      return false;
    }
    return true;
  }

  private boolean manager(Action action) {
    if (action instanceof Action.Request) {
      request((Action.Request) action);
    } else if (action instanceof Action.Cancel) {
      manager.cancel(((Action.Cancel) action).request);
      heartbeat.wake();
    } else if (action instanceof Action.Release) {
      manager.release(((Action.Release) action).yarn);
      heartbeat.wake();
    } else if (action instanceof Action.Avoid) {
      manager.avoid(((Action.Avoid) action).host, ((Action.Avoid) action).avoid);
      heartbeat.wake();
    } else if (action instanceof Action.Administer) {
      managerCalls.execute(() -> administer((Action.Administer) action));
    } else if (action instanceof Action.AskNodes) {
      managerCalls.execute(this::askNodes);
    } else if (action instanceof Action.Tokens) {
      managerCalls.execute(() -> tokens((Action.Tokens) action));
    } else {
      return false;
    }
    return true;
  }

  private void application(Action action) {
    if (action instanceof Action.Answer) {
      Api.answer((Action.Answer) action);
    } else if (action instanceof Action.WriteResult) {
      ending = true;
      Map<String, Object> result = ((Action.WriteResult) action).result;
      loop.thread(() -> writeResult(result), "result").start();
    } else if (action instanceof Action.Unregister) {
      Action.Unregister unregister = (Action.Unregister) action;
      Log.phase("unregistering as " + unregister.outcome);
      heartbeat.finish(unregister.outcome, unregister.diagnostics);
    } else if (action instanceof Action.Exit) {
      loop.exit(((Action.Exit) action).code);
    }
  }

  // Containers

  private interface Blocking {
    void run() throws IOException;
  }

  /** A call to a NodeManager. The ResourceManager is soon expected to report something about the container. */
  private NodeManagerCalls.NodeCall call(Blocking make, Consumer<Exception> failed) {
    return new NodeManagerCalls.NodeCall() {
      @Override
      public void make() throws IOException {
        make.run();
        heartbeat.notice();
      }

      @Override
      public void failed(Exception error) {
        failed.accept(error);
        heartbeat.notice();
      }
    };
  }

  private void launch(Action.Launch launch) throws IOException {
    nodes.start(launch.yarn, launch.service, environment.of(launch));
    if (!launched) {
      launched = true;
      Log.phase("first container started");
    }
    loop.post(new Event.Launched(clock.now(), launch.yarn));
  }

  private void notLaunched(Action.Launch launch, Exception error) {
    Log.line(launch.id() + " could not be started on " + launch.node + ": " + Log.reason(error));
    boolean unreachable = error instanceof NodeManagers.Unreachable;
    loop.post(new Event.LaunchFailed(clock.now(), launch.yarn, Log.reason(error), unreachable));
  }

  private void notStopped(String yarn, Exception error) {
    Log.line(yarn + " could not be stopped by its NodeManager, and is released instead: " + Log.reason(error));
    manager.release(yarn);
    heartbeat.wake();
  }

  // ResourceManager

  private void request(Action.Request action) {
    try {
      manager.request(action.request, action.service, action.hosts);
      heartbeat.wake();
    } catch (RuntimeException error) {
      loop.post(new Event.Refused(clock.now(),
          "service " + action.service.name + ": its containers cannot be requested: " + Log.reason(error)));
    }
  }

  private void administer(Action.Administer action) {
    try {
      manager.administer(action.queue, action.value);
      Api.answer(new Action.Answer(action.ticket, 200, Json.map(action.queue ? "queue" : "priority", action.value)));
    } catch (IOException | RuntimeException error) {
      Api.answer(new Action.Answer(action.ticket, 409, Json.map("error", "refused", "message", Log.reason(error))));
    }
  }

  private void askNodes() {
    try {
      loop.post(new Event.Nodes(clock.now(), manager.hosts()));
    } catch (IOException | RuntimeException error) {
      loop.post(new Event.Nodes(clock.now(), Log.reason(error)));
    }
  }

  // Delegation tokens

  private void tokens(Action.Tokens action) {
    String problem = null;
    int newer = 0;
    if (action.renew) {
      try {
        newer = tokens.read();
      } catch (IOException | RuntimeException error) {
        problem = "the file " + DelegationTokens.FILE + " in the application's folder: " + Log.reason(error);
      }
      loop.post(new Event.TokensRead(clock.now(), newer, problem));
    }
    if (action.ticket != null) {
      Api.answer(problem == null ? new Action.Answer(action.ticket, 200, Json.map("newer", newer, "tokens", tokens.facts()))
          : new Action.Answer(action.ticket, 409, Json.map("error", "refused", "message", problem)));
    }
  }

  // Files

  /** Write the address of the API to HDFS. Containers and clients read it when the address that they know does not answer. */
  void announce(String address) {
    Map<String, Object> content = Json.map("address", address, "attempt", identity.attempt);
    if (write("master", content, Long.MAX_VALUE, () -> ending) == null) {
      Log.phase("announced");
    }
  }

  private void writeResult(Map<String, Object> result) {
    String problem = write("result.json", result, clock.now() + RESULT_TIMEOUT, () -> false);
    resultWritten.countDown();
    Log.phase(problem == null ? "result written" : "result not written (" + problem + ")");
    loop.post(new Event.ResultWritten(clock.now(), problem));
  }

  /** Return when the result is written or could not be, or after so many milliseconds. */
  void awaitResult(long timeout) throws InterruptedException {
    resultWritten.await(timeout, TimeUnit.MILLISECONDS);
  }

  /**
   * Write a file, with retries until the deadline or until it is needed no more.
   *
   * @return the problem, null if the file is written
   */
  private String write(String name, Map<String, Object> content, long deadline, BooleanSupplier unneeded) {
    long pause = 100;
    while (true) {
      try {
        folder.replace(name, out -> {
          Json.write(out, content);
          out.write('\n');
        });
        return null;
      } catch (JournalFiles.Superseded error) {
        loop.post(new Event.Disowned(clock.now()));
        return Log.reason(error);
      } catch (IOException | RuntimeException error) {
        String problem = Log.reason(error);
        if (unneeded.getAsBoolean() || clock.now() + pause > deadline) {
          return problem;
        }
        Log.line(name + " could not be written, tried again in " + pause + " ms: " + problem);
      }
      try {
        Thread.sleep(pause);
      } catch (InterruptedException error) {
        return "interrupted";
      }
      pause = Math.min(pause * 2, 10_000);
    }
  }
}
