package knit.am;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import knit.am.api.Api;
import knit.am.core.Action;
import knit.am.core.Container;
import knit.am.core.Core;
import knit.am.core.Event;
import knit.am.core.Identity;
import knit.am.core.Spec;
import knit.am.gateway.Clock;
import knit.am.gateway.Journals;
import knit.am.gateway.NodeManagers;
import knit.am.gateway.Probes;
import knit.am.gateway.ResourceManager;
import knit.am.gateway.Store;
import knit.am.json.Json;

/** The owner thread: takes events from a queue, gives them to the reducer and has the gateways do what it decides. */
public final class EventLoop {
  /** Threads for what is asked of the ResourceManager now and then. */
  private static final int ASKERS = 4;
  /** Milliseconds for the journal to take up what a heartbeat brought. */
  private static final long SETTLING = 2_000;
  private static final long MAX_PAUSE = 60_000;
  /** Milliseconds that the reading of the journal may take at least. */
  private static final long LEAST_READING = 60_000;

  private final Identity identity;
  private final Spec spec;
  private final Clock clock;
  private final ResourceManager manager;
  private final NodeManagers nodes;
  private final Probes probes;
  private final Store store;
  private final Core core;
  /** Events, and things that the owner thread is to run between them. */
  private final LinkedBlockingQueue<Object> queue = new LinkedBlockingQueue<>();
  private final NodeCalls calls = new NodeCalls(pool(NodeCalls.THREADS, "node"));
  private final ExecutorService askers;
  private final Heartbeat heartbeat;
  /** Null when no other attempt can follow this one. */
  private final Journal journal;
  private final CountDownLatch resultWritten = new CountDownLatch(1);
  private volatile double progress;
  private volatile boolean ending;
  private String address;
  private volatile boolean begun;
  private volatile int exitCode = -1;
  /** Why this attempt cannot go on, null while it can. */
  private volatile Died death;

  public EventLoop(Identity identity, Spec spec, Clock clock, ResourceManager manager, NodeManagers nodes, Probes probes,
      Store store) {
    this.identity = identity;
    this.spec = spec;
    this.clock = clock;
    this.manager = manager;
    this.nodes = nodes;
    this.probes = probes;
    this.store = store;
    core = new Core(identity, spec);
    heartbeat = new Heartbeat(manager, clock, this::post, () -> progress, this::settle);
    journal = spec.journal ? new Journal(store, () -> queue.add((Runnable) this::beginJournal),
        () -> heartbeat.silence() > manager.expiry(), () -> post(new Event.Disowned(clock.now()))) : null;
    askers = pool(ASKERS, "ask");
  }

  private ExecutorService pool(int threads, String name) {
    ThreadPoolExecutor pool = new ThreadPoolExecutor(threads, threads, 10, TimeUnit.SECONDS, new LinkedBlockingQueue<>(),
        task -> thread(task, name));
    pool.allowCoreThreadTimeOut(true);
    return pool;
  }

  /** A thread without which the application would stand still has died. */
  static final class Died extends RuntimeException {
    private static final long serialVersionUID = 1L;

    Died(String thread, Throwable cause) {
      super("the thread " + thread + " died: " + Log.reason(cause), cause);
    }
  }

  /**
   * End this attempt: a thread has died that nothing takes the place of. {@link #run} throws {@link Died}; nothing is
   * unregistered, so that YARN starts the next attempt if there may be one, and else fails the application.
   */
  void died(String thread, Throwable error) {
    if (death == null) {
      death = new Died(thread, error);
    }
    exitCode = 1;
    queue.add((Runnable) () -> { }); // wakes the owner thread
  }

  /** A thread whose death ends this attempt. */
  private Thread thread(Runnable task, String name) {
    Thread thread = daemon(task, name);
    thread.setUncaughtExceptionHandler((dead, error) -> died(dead.getName(), error));
    return thread;
  }

  /** Hand an event to the owner thread. */
  public void post(Event event) {
    queue.add(event);
  }

  /**
   * The state of an earlier attempt is taken up. Before {@link #run}.
   *
   * @return whether it left one
   * @throws IOException if it cannot be read: nothing may begin without it
   * @throws RuntimeException if it makes no sense
   */
  public boolean recover() throws IOException {
    if (journal == null) {
      return false;
    }
    Map<String, Object> records = read(clock.now() + Math.max(LEAST_READING, manager.expiry() / 2));
    if (records != null) {
      core.restore(records);
    }
    Log.phase(records == null ? "no journal to take up" : "journal taken up, " + records.size() + " records");
    return records != null;
  }

  /** Until it succeeds or the deadline has passed: another attempt may not be allowed. */
  private Map<String, Object> read(long deadline) throws IOException {
    for (long pause = 50; ; pause = Math.min(2 * pause, 5_000)) {
      try {
        return Journal.read(store);
      } catch (Journals.Superseded error) {
        throw error;
      } catch (IOException error) {
        Log.say("the journal of an earlier attempt cannot be read yet: " + Log.reason(error));
        if (clock.now() + pause > deadline) {
          throw error;
        }
      }
      try {
        Thread.sleep(pause);
      } catch (InterruptedException error) {
        throw new InterruptedIOException();
      }
    }
  }

  /**
   * Register and run until the end.
   *
   * @return the process's exit code
   * @throws Died if a thread has died
   */
  public int run(String host, int port) throws IOException, InterruptedException {
    address = host + ":" + port;
    if (journal != null) {
      thread(journal, "journal").start();
    }
    take(Collections.singletonList(new Event.Started(clock.now())));
    beginJournal();
    List<Event.Grant> previous = manager.register(host, port, "http://" + address + "/");
    Log.phase("registered");
    thread(heartbeat, "resourcemanager").start();
    take(Collections.singletonList(new Event.Registered(clock.now(), previous)));
    thread(this::announce, "announce").start();
    while (exitCode < 0) {
      long pause = Math.min(MAX_PAUSE, core.nextTick() - clock.now());
      Object next = queue.poll(Math.max(0, pause), TimeUnit.MILLISECONDS);
      List<Object> batch = new ArrayList<>();
      batch.add(next == null ? new Event.Tick(clock.now()) : next);
      queue.drainTo(batch, 1000);
      take(batch);
    }
    if (death != null) {
      throw death;
    }
    return exitCode;
  }

  private void beginJournal() {
    if (journal != null) {
      core.changes();
      journal.begin(core.dump());
    }
  }

  /** Wait until what was posted so far is written down, but not for ever: YARN ends a silent ApplicationMaster. */
  private void settle() {
    if (journal == null) {
      return;
    }
    CountDownLatch written = new CountDownLatch(1);
    queue.add((Runnable) () -> journal.write(Collections.emptyMap(), written::countDown));
    try {
      if (!written.await(SETTLING, TimeUnit.MILLISECONDS)) {
        Log.say("what the ResourceManager said could not be written down within " + SETTLING + " ms");
      }
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  /** For SIGTERM: have the result written if it can be done within the given milliseconds. */
  public void terminate(long patience) {
    if (exitCode >= 0) {
      return;
    }
    post(new Event.Terminated(clock.now()));
    try {
      resultWritten.await(patience, TimeUnit.MILLISECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  private void take(List<?> batch) {
    List<Action> actions = new ArrayList<>();
    List<Runnable> runs = new ArrayList<>();
    for (Object item : batch) {
      if (item instanceof Event) {
        actions.addAll(core.apply((Event) item));
      } else {
        runs.add((Runnable) item);
      }
    }
    progress = core.progress();
    Map<String, Object> changes = core.changes();
    List<Action> answers = new ArrayList<>();
    for (Action action : actions) {
      if (action instanceof Action.Answer) {
        answers.add(action);
      } else {
        carryOut(action);
      }
    }
    if (journal != null && !(changes.isEmpty() && (answers.isEmpty() || journal.isDurable()))) {
      // Who gets an answer can rely on all that it shows, even if this process dies now.
      journal.write(changes, () -> answers.forEach(this::carryOut));
    } else {
      answers.forEach(this::carryOut);
    }
    runs.forEach(Runnable::run);
  }

  private void carryOut(Action action) {
    if (action instanceof Action.Request) {
      request((Action.Request) action);
    } else if (action instanceof Action.Cancel) {
      manager.cancel(((Action.Cancel) action).request);
      heartbeat.wake();
    } else if (action instanceof Action.Release) {
      manager.release(((Action.Release) action).yarn);
      heartbeat.wake();
    } else if (action instanceof Action.Launch) {
      Container container = ((Action.Launch) action).container;
      calls.add(container.node(), call(() -> launch((Action.Launch) action), error -> notLaunched(container, error)));
    } else if (action instanceof Action.Stop) {
      String yarn = ((Action.Stop) action).yarn;
      calls.add(((Action.Stop) action).node, call(() -> nodes.stop(yarn), error -> notStopped(yarn, error)));
    } else if (action instanceof Action.Signal) {
      String yarn = ((Action.Signal) action).yarn;
      calls.add(((Action.Signal) action).node, call(() -> nodes.signal(yarn),
          error -> Log.say(yarn + " could not be sent SIGTERM: " + Log.reason(error))));
    } else if (action instanceof Action.Probe) {
      Action.Probe probe = (Action.Probe) action;
      probes.look(probe.host, probe.readiness, ready -> post(new Event.Probed(clock.now(), probe.yarn, ready)));
    } else if (action instanceof Action.Avoid) {
      manager.avoid(((Action.Avoid) action).host, ((Action.Avoid) action).avoid);
      heartbeat.wake();
    } else if (action instanceof Action.Administer) {
      askers.execute(() -> administer((Action.Administer) action));
    } else if (action instanceof Action.AskNodes) {
      askers.execute(this::askNodes);
    } else if (action instanceof Action.Answer) {
      Api.answer((Action.Answer) action);
    } else if (action instanceof Action.WriteResult) {
      ending = true;
      Map<String, Object> result = ((Action.WriteResult) action).result;
      thread(() -> writeResult(result), "result").start();
    } else if (action instanceof Action.Unregister) {
      Action.Unregister unregister = (Action.Unregister) action;
      Log.phase("unregistering as " + unregister.outcome);
      heartbeat.finish(unregister.outcome, unregister.diagnostics);
    } else if (action instanceof Action.Exit) {
      exitCode = ((Action.Exit) action).code;
    }
  }

  private void request(Action.Request action) {
    try {
      manager.request(action.request, action.service, action.hosts);
      heartbeat.wake();
    } catch (RuntimeException error) {
      post(new Event.Refused(clock.now(),
          "service " + action.service.name + ": its containers cannot be asked for: " + Log.reason(error)));
    }
  }

  /** A call to a NodeManager, after which the ResourceManager is soon expected to have news. */
  private NodeCalls.Call call(Blocking make, Consumer<Exception> failed) {
    return new NodeCalls.Call() {
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

  private interface Blocking {
    void run() throws IOException;
  }

  private void launch(Action.Launch launch) throws IOException {
    nodes.start(launch.container, launch.service, environment(launch));
    if (!begun) {
      begun = true;
      Log.phase("first container started");
    }
    post(new Event.Launched(clock.now(), launch.container.yarn()));
  }

  private void notLaunched(Container container, Exception error) {
    Log.say(container.id() + " could not be started on " + container.node() + ": " + Log.reason(error));
    boolean unreachable = error instanceof NodeManagers.Unreachable;
    post(new Event.LaunchFailed(clock.now(), container.yarn(), Log.reason(error), unreachable));
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
      post(new Event.Nodes(clock.now(), manager.hosts()));
    } catch (IOException | RuntimeException error) {
      post(new Event.Nodes(clock.now(), Log.reason(error)));
    }
  }

  private void notStopped(String yarn, Exception error) {
    Log.say(yarn + " could not be stopped by its node, the ResourceManager is asked to: " + Log.reason(error));
    manager.release(yarn);
    heartbeat.wake();
  }

  /** What a container gets besides its service's variables (docs/protocol.md, section 3). */
  Map<String, String> environment(Action.Launch launch) {
    Map<String, String> variables = new HashMap<>();
    variables.put("KNIT_APP_ID", identity.application);
    variables.put("KNIT_SERVICE", launch.container.service);
    variables.put("KNIT_INSTANCE", Integer.toString(launch.container.instance));
    variables.put("KNIT_INSTANCES", Integer.toString(launch.instances));
    variables.put("KNIT_ATTEMPT", Integer.toString(launch.container.attempt));
    variables.put("KNIT_CONTAINER", launch.container.id());
    variables.put("KNIT_MASTER", address);
    variables.put("KNIT_MASTER_ATTEMPT", Integer.toString(identity.attempt));
    List<String> urls = new ArrayList<>();
    String folder = URI.create(spec.staging).getRawPath();
    for (String web : spec.webhdfs) {
      urls.add(web + "/webhdfs/v1" + folder + "/apps/" + identity.application + "/master");
    }
    variables.put("KNIT_MASTER_FILE", String.join(",", urls));
    if (spec.simple) {
      variables.put("HADOOP_USER_NAME", identity.user);
    }
    return variables;
  }

  /** Say where the API is. Containers and clients look here when the address they know has gone. */
  private void announce() {
    Map<String, Object> content = Json.map("address", address, "attempt", identity.attempt);
    if (write("master", content, Long.MAX_VALUE, () -> ending) == null) {
      Log.phase("announced");
    }
  }

  private void writeResult(Map<String, Object> result) {
    String problem = write("result.json", result, clock.now() + 60_000, () -> false);
    resultWritten.countDown();
    Log.phase(problem == null ? "result written" : "result not written (" + problem + ")");
    post(new Event.ResultWritten(clock.now(), problem));
  }

  /** Try until it is written, the deadline has passed or nobody needs it any more; null or what the problem was. */
  private String write(String name, Map<String, Object> content, long deadline, java.util.function.BooleanSupplier pointless) {
    long pause = 100;
    while (true) {
      try {
        store.replace(name, out -> {
          Json.write(out, content);
          out.write('\n');
        });
        return null;
      } catch (Journals.Superseded error) {
        post(new Event.Disowned(clock.now()));
        return Log.reason(error);
      } catch (IOException | RuntimeException error) {
        String problem = Log.reason(error);
        if (pointless.getAsBoolean() || clock.now() + pause > deadline) {
          return problem;
        }
        Log.say(name + " could not be written, tried again in " + pause + " ms: " + problem);
      }
      try {
        Thread.sleep(pause);
      } catch (InterruptedException error) {
        return "interrupted";
      }
      pause = Math.min(pause * 2, 10_000);
    }
  }

  static Thread daemon(Runnable task, String name) {
    Thread thread = new Thread(task, "knit-" + name);
    thread.setDaemon(true);
    return thread;
  }
}
