package knit.am;

import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import knit.am.api.Api;
import knit.am.api.Reply;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Identity;
import knit.am.core.model.Spec;
import knit.am.util.ManualClock;

/** An ApplicationMaster that really runs and serves, with fakes where the cluster would be. */
public final class EventLoopHarness implements AutoCloseable {
  public static final byte[] SECRET = new byte[32];
  /** The number of the first request. */
  public static final long FIRST = 1_000_000_001L;
  public static final Identity IDENTITY = new Identity("application_1_0001", 2, "alice",
      "container_1_0001_02_000001", "node01:8042");

  public final ManualClock clock = new ManualClock();
  public final Api api;
  final FakeResourceManager manager = new FakeResourceManager(clock);
  final FakeNodes nodes = new FakeNodes(manager);
  public final FakeNodeLogs logs = new FakeNodeLogs();
  FakeApplicationFolder store = new FakeApplicationFolder();
  public final FakeDelegationTokens tokens = new FakeDelegationTokens();
  private Spec spec;
  EventLoop master;
  private final FutureTask<Integer> end;

  public EventLoopHarness(int instances) throws Exception {
    this(instances, running -> { });
  }

  /** Changes the fakes before anything runs. */
  interface Preparation {
    void prepare(EventLoopHarness running);
  }

  EventLoopHarness(int instances, Preparation preparation) throws Exception {
    api = new Api("127.0.0.1", 0, 0, null);
    spec = Specs.of(instances, 0);
    preparation.prepare(this);
    master = new EventLoop(IDENTITY, spec, clock, manager, nodes, (host, readiness, answer) -> answer.accept(true), logs,
        store, tokens);
    master.recover();
    api.open(IDENTITY, SECRET, master::post, clock, null);
    end = new FutureTask<>(() -> master.run("node01", api.port(), api.trackingUrl("node01")));
    EventLoop.daemon(end, "test").start();
  }

  /** As on a cluster with Kerberos. */
  public static EventLoopHarness secure(int instances) throws Exception {
    return new EventLoopHarness(instances, running -> running.spec = Specs.secure(instances));
  }

  void useStoreOf(FakeApplicationFolder other) {
    store = other.next();
  }

  public static String yarn(long request) {
    return FakeResourceManager.yarn(request);
  }

  /** The exit code. */
  int end() throws Exception {
    return end.get(20, TimeUnit.SECONDS);
  }

  public void awaitRunning(int count) throws Exception {
    await(count + " running", () -> application().toString().contains("running=" + count + ","));
  }

  public void post(Event event) {
    master.post(event);
  }

  /** The first container's page {@code dash}, as if its node were this host. */
  public void pageAt(String host, int port) throws Exception {
    manager.host = host;
    post(new Event.Completed(clock.now(), yarn(FIRST), -100, ""));
    await("its successor", () -> nodes.started.containsKey(yarn(FIRST + 1)));
    await("it runs", () -> application().toString().contains("running=1"));
    CompletableFuture<Reply> ticket = new CompletableFuture<>();
    post(new Call.AddPage(clock.now(), ticket, yarn(FIRST + 1), "dash", port, "/status"));
    ticket.get(20, TimeUnit.SECONDS);
  }

  /** What the API says of the application. */
  Map<String, Object> application() throws Exception {
    CompletableFuture<Reply> ticket = new CompletableFuture<>();
    master.post(new Call.Read(clock.now(), ticket, Call.What.APPLICATION));
    return ticket.get(20, TimeUnit.SECONDS).body;
  }

  public static void await(String what, Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + 20_000_000_000L;
    while (!condition.call()) {
      if (System.nanoTime() > deadline) {
        throw new AssertionError("not within 20 s: " + what);
      }
      Thread.sleep(5);
    }
  }

  @Override
  public void close() {
    api.close();
  }
}
