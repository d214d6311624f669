package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import knit.am.api.Reply;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.gateway.NodeLogs;
import knit.am.util.ManualClock;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** How many logs are read at a time, and what becomes of the others. */
class LogCallsTest {
  private final ManualClock clock = new ManualClock();
  private final FakeNodeLogs logs = new FakeNodeLogs();
  private final ExecutorService threads = Executors.newFixedThreadPool(LogCalls.THREADS);
  private final LogCalls calls = new LogCalls(threads, logs, clock);

  @AfterEach
  void stop() {
    logs.release();
    threads.shutdownNow();
  }

  private CompletableFuture<Reply> list(String node) {
    CompletableFuture<Reply> ticket = new CompletableFuture<>();
    calls.add(new Action.ReadLog(new Call.ReadLog(clock.now(), ticket, "main_0", null, 0, 0, 0), "container_2", node));
    return ticket;
  }

  private static String outcome(CompletableFuture<Reply> ticket) throws Exception {
    Reply reply = ticket.get(20, TimeUnit.SECONDS);
    return reply.status + " " + reply.body.getOrDefault("error", reply.body.get("did"));
  }

  @Test
  void hungNodesLeaveThreadsForOthers() throws Exception {
    List<CompletableFuture<Reply>> waiting = new ArrayList<>();
    for (int node = 1; node < LogCalls.THREADS; node++) {
      logs.hung.add("hung" + node);
      waiting.add(list("hung" + node));
      waiting.add(list("hung" + node));
    }
    assertEquals("200 list well container_2", outcome(list("well")));
    EventLoopHarness.await("each node's first call has begun", () -> logs.calls.size() >= LogCalls.THREADS);
    assertEquals(LogCalls.THREADS, logs.calls.size());
    waiting.forEach(ticket -> assertFalse(ticket.isDone()));
  }

  @Test
  void moreCallsThanTheLimitAreRefusedAtOnce() throws Exception {
    logs.hung.add("hung");
    List<CompletableFuture<Reply>> waiting = new ArrayList<>();
    for (int i = 0; i < LogCalls.LIMIT; i++) {
      waiting.add(list("hung"));
    }
    assertEquals("429 busy", outcome(list("well")));
    logs.release();
    for (CompletableFuture<Reply> ticket : waiting) {
      assertEquals("200 list hung container_2", outcome(ticket));
    }
    assertEquals("200 list well container_2", outcome(list("well")));
  }

  @Test
  void aCallThatHasWaitedTooLongIsRefused() throws Exception {
    logs.hung.add("hung");
    list("hung");
    EventLoopHarness.await("it has begun", () -> logs.calls.size() == 1);
    CompletableFuture<Reply> late = list("hung");
    clock.advance(LogCalls.PATIENCE + 1);
    logs.release();
    assertEquals("429 busy", outcome(late));
    assertEquals(1, logs.calls.size());
  }

  @Test
  void allThatWaitForAnUnreachableNodeFailWithTheFirst() throws Exception {
    logs.hung.add("away");
    logs.failures.put("away", new NodeLogs.Failure(NodeLogs.Failure.UNREACHABLE, "no route"));
    List<CompletableFuture<Reply>> waiting = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      waiting.add(list("away"));
    }
    logs.release();
    for (CompletableFuture<Reply> ticket : waiting) {
      assertEquals("409 node-unreachable", outcome(ticket));
    }
    assertEquals(1, logs.calls.size());
    logs.failures.put("away", new NodeLogs.Failure(NodeLogs.Failure.NO_LOGS, "none"));
    assertEquals("404 no-logs", outcome(list("away")));
  }
}
