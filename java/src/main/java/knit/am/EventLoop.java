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
import knit.am.core.Reducer;
import knit.am.core.message.Action;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Identity;
import knit.am.core.model.Spec;
import knit.am.gateway.ApplicationFolder;
import knit.am.gateway.DelegationTokens;
import knit.am.gateway.JournalFiles;
import knit.am.gateway.NodeLogs;
import knit.am.gateway.NodeManagers;
import knit.am.gateway.Probes;
import knit.am.gateway.ResourceManager;
import knit.am.util.Clock;
import knit.am.util.Log;

/** The owner thread: takes events from a queue, gives them to the reducer and has its actions carried out. */
public final class EventLoop {
  /** Milliseconds for the journal to record the events of a heartbeat. */
  private static final long SETTLE_TIMEOUT = 2_000;
  private static final long MAX_PAUSE = 60_000;
  /** Milliseconds that reading the journal may take at least. */
  private static final long LEAST_READ_TIMEOUT = 60_000;

  private final Clock clock;
  private final ResourceManager manager;
  private final ApplicationFolder folder;
  private final Reducer reducer;
  /** Events, and tasks that the owner thread runs between them. */
  private final LinkedBlockingQueue<Object> queue = new LinkedBlockingQueue<>();
  private final Heartbeat heartbeat;
  /** Null when no other attempt can follow. */
  private final JournalWriter journal;
  private final ContainerEnvironment environment;
  private final ActionRunner actions;
  private volatile double progress;
  private volatile int exitCode = -1;
  /** Why this attempt cannot go on, null while it can. */
  private volatile Died death;

  public EventLoop(Identity identity, Spec spec, Clock clock, ResourceManager manager, NodeManagers nodes, Probes probes,
      NodeLogs logs, ApplicationFolder folder, DelegationTokens tokens) {
    this.clock = clock;
    this.manager = manager;
    this.folder = folder;
    reducer = new Reducer(identity, spec);
    heartbeat = new Heartbeat(manager, clock, this::post, () -> progress, this::settle);
    journal = spec.journal ? new JournalWriter(folder, () -> queue.add((Runnable) this::beginJournal),
        () -> heartbeat.silence() > manager.expiry(), () -> post(new Event.Disowned(clock.now()))) : null;
    environment = new ContainerEnvironment(identity, spec);
    actions = new ActionRunner(identity, environment, clock, manager, nodes, probes, logs, folder, tokens, heartbeat,
        new Loop());
  }

  private final class Loop implements ActionRunner.Loop {
    @Override
    public void post(Event event) {
      EventLoop.this.post(event);
    }

    @Override
    public void exit(int code) {
      exitCode = code;
    }

    @Override
    public Thread thread(Runnable task, String name) {
      return EventLoop.this.thread(task, name);
    }

    @Override
    public ExecutorService pool(int threads, String name) {
      ThreadPoolExecutor pool = new ThreadPoolExecutor(threads, threads, 10, TimeUnit.SECONDS, new LinkedBlockingQueue<>(),
          task -> thread(task, name));
      pool.allowCoreThreadTimeOut(true);
      return pool;
    }
  }

  /** A thread that the application needs has died. */
  static final class Died extends RuntimeException {
    private static final long serialVersionUID = 1L;

    Died(String thread, Throwable cause) {
      super("the thread " + thread + " died: " + Log.reason(cause), cause);
    }
  }

  /**
   * End this attempt, because a thread has died that is not replaced. {@link #run} throws {@link Died}. The attempt is not
   * unregistered, so that YARN starts the next one, or fails the application if none is allowed.
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

  /** Give an event to the owner thread. */
  public void post(Event event) {
    queue.add(event);
  }

  /**
   * Restore the state of an earlier attempt. Call it before {@link #run}.
   *
   * @return whether there is a journal
   * @throws IOException if the journal cannot be read; the attempt must not begin without it
   * @throws RuntimeException if the journal is invalid
   */
  public boolean recover() throws IOException {
    if (journal == null) {
      return false;
    }
    Map<String, Object> records = read(clock.now() + Math.max(LEAST_READ_TIMEOUT, manager.expiry() / 2));
    if (records != null) {
      reducer.restore(records);
    }
    Log.phase(records == null ? "no journal to restore" : "journal restored, " + records.size() + " records");
    return records != null;
  }

  /** Read the journal, with retries until the deadline: YARN may allow no other attempt. */
  private Map<String, Object> read(long deadline) throws IOException {
    for (long pause = 50; ; pause = Math.min(2 * pause, 5_000)) {
      try {
        return JournalWriter.read(folder);
      } catch (JournalFiles.Superseded error) {
        throw error;
      } catch (IOException error) {
        Log.line("the journal of an earlier attempt cannot be read yet, tried again: " + Log.reason(error));
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
   * @param host the name of the API's address
   * @param port of the API
   * @param trackingUrl where the ResourceManager's proxy reaches the application
   * @return the process's exit code
   * @throws Died if a thread has died
   */
  public int run(String host, int port, String trackingUrl) throws IOException, InterruptedException {
    String address = host + ":" + port;
    environment.setAddress(address);
    if (journal != null) {
      thread(journal, "journal").start();
    }
    take(Collections.singletonList(new Event.Started(clock.now())));
    beginJournal();
    List<Grant> previous = manager.register(host, port, trackingUrl);
    Log.phase("registered");
    thread(heartbeat, "resourcemanager").start();
    take(Collections.singletonList(new Event.Registered(clock.now(), previous)));
    thread(() -> actions.announce(address), "announce").start();
    while (exitCode < 0) {
      long pause = Math.min(MAX_PAUSE, reducer.nextTick() - clock.now());
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
      reducer.changes();
      journal.begin(reducer.dump());
    }
  }

  /**
   * Wait until the events posted so far are in the journal. The time is limited, because YARN ends an ApplicationMaster without
   * heartbeats.
   */
  private void settle() {
    if (journal == null) {
      return;
    }
    CountDownLatch written = new CountDownLatch(1);
    queue.add((Runnable) () -> journal.write(Collections.emptyMap(), written::countDown));
    try {
      if (!written.await(SETTLE_TIMEOUT, TimeUnit.MILLISECONDS)) {
        Log.line("the ResourceManager's reply could not be written to the journal within " + SETTLE_TIMEOUT + " ms");
      }
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  /** After SIGTERM: return when the result is written, or after so many milliseconds. */
  public void terminate(long timeout) {
    if (exitCode >= 0) {
      return;
    }
    post(new Event.Terminated(clock.now()));
    try {
      actions.awaitResult(timeout);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
  }

  private void take(List<?> batch) {
    List<Action> decided = new ArrayList<>();
    List<Runnable> runs = new ArrayList<>();
    for (Object item : batch) {
      if (item instanceof Event) {
        decided.addAll(reducer.apply((Event) item));
      } else {
        runs.add((Runnable) item);
      }
    }
    progress = reducer.progress();
    Map<String, Object> changes = reducer.changes();
    List<Action> answers = new ArrayList<>();
    for (Action action : decided) {
      if (action instanceof Action.Answer) {
        answers.add(action);
      } else {
        actions.run(action);
      }
    }
    if (journal != null && !(changes.isEmpty() && (answers.isEmpty() || journal.isDurable()))) {
      // What an answer shows must survive the death of this process: it is sent after the journal is written.
      journal.write(changes, () -> answers.forEach(actions::run));
    } else {
      answers.forEach(actions::run);
    }
    runs.forEach(Runnable::run);
  }

  static Thread daemon(Runnable task, String name) {
    Thread thread = new Thread(task, "knit-" + name);
    thread.setDaemon(true);
    return thread;
  }
}
