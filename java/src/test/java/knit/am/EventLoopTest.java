package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Outcome;
import knit.am.gateway.ResourceManager;
import knit.am.util.ManualClock;
import org.junit.jupiter.api.Test;

/** The owner thread, the heartbeat and the gateways together. */
class EventLoopTest {
  private static Event completed(EventLoopHarness running, long request, int exit) {
    return new Event.Completed(running.clock.now(), EventLoopHarness.yarn(request), exit, "");
  }

  @Test
  void aWholeLife() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(2)) {
      running.awaitRunning(2);
      assertEquals("http://node01:" + running.api.port() + "/", running.manager.tracking);
      EventLoopHarness.await("announced", () -> running.store.files.containsKey("master"));
      assertEquals("{\"address\":\"node01:" + running.api.port() + "\",\"attempt\":2}\n", running.store.files.get("master"));
      running.manager.news.add(completed(running, 1, 0));
      running.manager.news.add(completed(running, 2, 0));
      assertEquals(0, running.end());
      assertEquals("SUCCEEDED", running.store.json("result.json").get("outcome"));
      assertEquals("[SUCCEEDED: ]", running.manager.unregistered.toString());
    }
  }

  @Test
  void whatAContainerGets() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(2)) {
      running.awaitRunning(2);
      Map<String, String> variables = running.nodes.started.get(EventLoopHarness.yarn(2));
      assertEquals("application_1_0001", variables.get("KNIT_APP_ID"));
      assertEquals("main", variables.get("KNIT_SERVICE"));
      assertEquals("1", variables.get("KNIT_INSTANCE"));
      assertEquals("2", variables.get("KNIT_INSTANCES"));
      assertEquals("1", variables.get("KNIT_ATTEMPT"));
      assertEquals("main_1", variables.get("KNIT_CONTAINER"));
      assertEquals("node01:" + running.api.port(), variables.get("KNIT_MASTER"));
      assertEquals("2", variables.get("KNIT_MASTER_ATTEMPT"));
      assertEquals("http://nn:9870/webhdfs/v1/user/alice/.knit/apps/application_1_0001/master,"
          + "http://nn2:9870/webhdfs/v1/user/alice/.knit/apps/application_1_0001/master", variables.get("KNIT_MASTER_FILE"));
      assertEquals("alice", variables.get("HADOOP_USER_NAME"));
    }
  }

  @Test
  void faultsOfTheResourceManagerAndTheStoreAreSurvived() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1, prepared -> {
      prepared.manager.faults = 1;
      prepared.store.faults = 2;
    })) {
      running.awaitRunning(1);
      running.manager.news.add(completed(running, 1, 0));
      assertEquals(0, running.end());
      assertEquals("SUCCEEDED", running.store.json("result.json").get("outcome"));
    }
  }

  @Test
  void aNodeThatCannotStopIsLeftToTheResourceManager() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(2)) {
      running.awaitRunning(2);
      running.nodes.broken = true;
      running.manager.news.add(completed(running, 1, 5));
      EventLoopHarness.await("released", () -> running.manager.released.contains(EventLoopHarness.yarn(2)));
      running.manager.news.add(completed(running, 2, -100));
      assertEquals(0, running.end());
      assertEquals(5L, running.store.json("result.json").get("exitCode"));
    }
  }

  @Test
  void aNodeThatHangsDelaysNoOther() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(102, prepared -> {
      prepared.nodes.hanging.add("hung");
      prepared.manager.place = request -> request < EventLoopHarness.FIRST + 100 ? "hung" : "node07";
    })) {
      running.awaitRunning(2);
      // Nor do orders to stop, when what is on it is to be ended.
      running.master.post(new Call.Kill(running.clock.now(), new CompletableFuture<>(), null, "main_101", null));
      EventLoopHarness.await("stopped", () -> running.nodes.stopped.contains(EventLoopHarness.yarn(102)));
      assertEquals(NodeManagerCalls.WIDTH, running.nodes.hung.get());
    }
  }

  @Test
  void aNodeThatCannotBeReachedIsAvoidedAndAllItsContainersAreReplaced() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(100, prepared -> {
      prepared.nodes.hanging.add("hung");
      prepared.manager.news.add(new Event.ClusterSize(prepared.clock.now(), 3));
      prepared.manager.place = request -> request < EventLoopHarness.FIRST + 100 ? "hung" : "node07";
    })) {
      EventLoopHarness.await("hanging", () -> running.nodes.hung.get() == NodeManagerCalls.WIDTH);
      running.nodes.giveUp.countDown();
      running.awaitRunning(100);
      assertEquals(Arrays.asList("+hung"), running.manager.avoided);
      assertEquals(100, running.manager.released.size());
      // Those that waited were not tried, except for what took a free place before the first had failed.
      assertTrue(running.nodes.hung.get() < 3 * NodeManagerCalls.WIDTH, running.nodes.hung + " tried");
    }
  }

  @Test
  void manyNodesThatHangTakeNotAllThreadsForEver() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(101, prepared -> {
      prepared.manager.place = request -> request < EventLoopHarness.FIRST + 100 ? "hung" + request : "node07";
      for (long request = EventLoopHarness.FIRST; request < EventLoopHarness.FIRST + 100; request++) {
        prepared.nodes.hanging.add("hung" + request);
      }
    })) {
      EventLoopHarness.await("hanging", () -> running.nodes.hung.get() == NodeManagerCalls.THREADS);
      running.manager.place = request -> "node07";
      running.nodes.giveUp.countDown();
      running.awaitRunning(101);
    }
  }

  @Test
  void aDisownedAttemptEndsWithoutAResult() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.manager.gone = true;
      assertEquals(1, running.end());
      assertNull(running.store.files.get("result.json"));
      assertTrue(running.manager.unregistered.isEmpty());
    }
  }

  private static void assertDied(EventLoopHarness running, String thread, String error) {
    Exception end = assertThrows(Exception.class, running::end);
    assertTrue(end.getCause() instanceof EventLoop.Died, end.toString());
    assertEquals("the thread " + thread + " died: " + error, end.getCause().getMessage());
    assertTrue(running.manager.unregistered.isEmpty());
    assertNull(running.store.files.get("result.json"));
    running.master.terminate(10_000); // as the JVM's end does: nothing is written any more
    assertNull(running.store.files.get("result.json"));
  }

  @Test
  void anErrorInTheHeartbeatEndsTheAttempt() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.manager.broken = true;
      assertDied(running, "knit-resourcemanager", "NoSuchMethodError AllocateResponse.getIt()");
    }
  }

  @Test
  void equalRefusalsInARowEndTheAttempt() {
    ManualClock clock = new ManualClock();
    Heartbeat heartbeat = new Heartbeat(new FakeResourceManager(clock), clock, event -> { }, () -> 0, () -> { });
    Exception end = assertThrows(IllegalStateException.class, () -> {
      for (int i = 0; i < Heartbeat.MOST_REFUSALS; i++) {
        heartbeat.count(new ResourceManager.Rejected(new IllegalArgumentException("out of turn"), true));
      }
    });
    assertTrue(end.getMessage().contains("60 times in a row"), end.getMessage());
    for (int i = 0; i < 10_000; i++) {
      heartbeat.count(new java.io.IOException("no connection")); // is waited for
      heartbeat.count(new ResourceManager.Rejected(new IllegalArgumentException("other " + i), true));
    }
  }

  /** Another attempt may have begun, long before the silence is as long as the ResourceManager's patience. */
  @Test
  void whoIsNotLetInHasHeardNothing() {
    ManualClock clock = new ManualClock();
    FakeResourceManager manager = new FakeResourceManager(clock);
    Heartbeat heartbeat = new Heartbeat(manager, clock, event -> { }, () -> 0, () -> { });
    heartbeat.count(new ResourceManager.Rejected(new IllegalArgumentException("out of turn"), true));
    assertTrue(heartbeat.silence() <= manager.expiry());
    heartbeat.count(new ResourceManager.Rejected(new IllegalArgumentException("no such token"), false));
    assertTrue(heartbeat.silence() > manager.expiry());
  }

  @Test
  void nodesThatCannotBeAskedForEndNothing() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.manager.hostsFault = new java.io.IOException("no connection");
      running.post(new Event.Nodes(running.clock.now(), "no connection")); // asked for again from now on
      EventLoopHarness.await("asked again", () -> {
        running.clock.advance(10_000);
        running.post(new Event.Tick(running.clock.now()));
        return running.manager.hostsAsked.get() > 2;
      });
      assertTrue(running.application().toString().contains("state=RUNNING"));
      running.manager.news.add(completed(running, 1, 0));
      assertEquals(0, running.end());
    }
  }

  @Test
  void anErrorInTheJournalEndsTheAttempt() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.store.hdfs.erroneous = true;
      running.manager.news.add(completed(running, 1, -100));
      assertDied(running, "knit-journal", "NoClassDefFoundError DFSOutputStream");
    }
  }

  @Test
  void anErrorInATaskOfAPoolEndsTheAttempt() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1, prepared -> prepared.nodes.erroneous = true)) {
      assertDied(running, "knit-node", "NoClassDefFoundError StartContainersRequest");
    }
  }

  @Test
  void terminationLeavesAResultAndDoesNotUnregister() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.master.terminate(10_000);
      assertEquals("KILLED", running.store.json("result.json").get("outcome"));
      assertTrue(running.manager.unregistered.isEmpty());
    }
  }

  @Test
  void terminationDoesNotWaitForAStoreThatIsAway() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.store.faults = 1000;
      long begin = System.nanoTime();
      running.master.terminate(100);
      assertTrue(System.nanoTime() - begin < 5_000_000_000L);
      assertFalse(running.store.files.containsKey("result.json"));
    }
  }

  @Test
  void theHeartbeatSlowsDown() {
    assertEquals(50, Heartbeat.interval(0));
    assertEquals(100, Heartbeat.interval(1_000));
    assertEquals(1_000, Heartbeat.interval(3_600_000));
  }

  @Test
  void onlyWhatIsToldOnceIsWrittenDownBeforeTheNextHeartbeat() throws Exception {
    ManualClock clock = new ManualClock();
    FakeResourceManager manager = new FakeResourceManager(clock);
    BlockingQueue<String> heard = new LinkedBlockingQueue<>();
    Heartbeat heartbeat = new Heartbeat(manager, clock, event -> heard.add(event.getClass().getSimpleName()), () -> 0,
        () -> heard.add("written down"));
    manager.news.add(new Event.ClusterSize(clock.now(), 2));
    EventLoop.daemon(heartbeat, "test").start();
    assertEquals("ClusterSize", heard.poll(20, TimeUnit.SECONDS));
    manager.news.add(new Event.Completed(clock.now(), EventLoopHarness.yarn(1), 0, ""));
    assertEquals("Completed", heard.poll(20, TimeUnit.SECONDS));
    assertEquals("written down", heard.poll(20, TimeUnit.SECONDS));
    heartbeat.finish(Outcome.SUCCEEDED, "");
    assertEquals("Unregistered", heard.poll(20, TimeUnit.SECONDS));
  }

  @Test
  void shutdownEndsRunningContainers() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(3)) {
      running.awaitRunning(3);
      running.master.post(new Call.Shutdown(running.clock.now(), new java.util.concurrent.CompletableFuture<>(),
          null, Outcome.KILLED, "enough"));
      assertEquals(0, running.end());
      assertEquals(3, running.nodes.stopped.size());
      assertEquals("[KILLED: enough]", running.manager.unregistered.toString());
    }
  }
}
