package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import knit.am.api.Reply;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.gateway.JournalFiles;
import knit.am.json.Json;
import org.junit.jupiter.api.Test;

/** What is answered is written down, whatever happens to the journal's file. */
class JournalWriterTest {
  private static CompletableFuture<Reply> put(EventLoopHarness running, String key) {
    CompletableFuture<Reply> ticket = new CompletableFuture<>();
    running.master.post(new Call.KvPut(running.clock.now(), ticket, null, key, new Json.Raw(1), null, null));
    return ticket;
  }

  private static Map<String, Object> written(EventLoopHarness running) throws Exception {
    return JournalWriter.read(running.store.next());
  }

  @Test
  void anAnswerComesAfterTheJournal() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      put(running, "a").get(20, TimeUnit.SECONDS);
      assertTrue(written(running).containsKey("k a"));
    }
  }

  @Test
  void aFaultOfTheJournalDelaysAnswersAndLosesNothing() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      int begun = running.store.begun;
      running.store.hdfs.appendFaults.set(2);
      put(running, "a").get(20, TimeUnit.SECONDS);
      put(running, "b").get(20, TimeUnit.SECONDS);
      assertEquals(begun + 1, running.store.begun);
      assertTrue(written(running).keySet().containsAll(java.util.Arrays.asList("k a", "k b", "c main_0/1")));
    }
  }

  @Test
  void noAnswerWithoutAJournal() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.store.hdfs.appendFaults.set(1_000_000);
      CompletableFuture<Reply> ticket = put(running, "a");
      assertNoAnswer(ticket);
      running.store.hdfs.appendFaults.set(0);
      assertEquals(200, ticket.get(20, TimeUnit.SECONDS).status);
    }
  }

  private static void assertNoAnswer(CompletableFuture<Reply> ticket) {
    assertThrows(TimeoutException.class, () -> ticket.get(500, TimeUnit.MILLISECONDS));
  }

  private static CompletableFuture<Reply> get(EventLoopHarness running, String key) {
    CompletableFuture<Reply> ticket = new CompletableFuture<>();
    running.master.post(new Call.KvGet(running.clock.now(), ticket, key, 0, 0));
    return ticket;
  }

  @Test
  void nobodySeesWhatIsNotWrittenDown() throws Exception {
    FakeApplicationFolder store;
    List<CompletableFuture<Reply>> tickets = new ArrayList<>();
    try (EventLoopHarness first = new EventLoopHarness(1)) {
      first.awaitRunning(1);
      assertEquals(1L, put(first, "a").get(20, TimeUnit.SECONDS).body.get("revision"));
      store = first.store;
      store.hdfs.appendFaults.set(1_000_000);
      for (int repetition = 0; repetition < 2; repetition++) {
        CompletableFuture<Reply> ticket = new CompletableFuture<>();
        first.master.post(new Call.KvPut(first.clock.now(), ticket, null, "b", new Json.Raw(1), 0L, "0123456789abcdef"));
        tickets.add(ticket);
      }
      tickets.add(get(first, "b"));
      CompletableFuture<Reply> conflict = new CompletableFuture<>();
      first.master.post(new Call.KvPut(first.clock.now(), conflict, null, "b", new Json.Raw(2), 0L, null));
      tickets.add(conflict);
      CompletableFuture<Reply> watch = new CompletableFuture<>();
      first.master.post(new Call.KvList(first.clock.now(), watch, "", 1, true, first.clock.now() + 1000));
      tickets.add(watch);
      CompletableFuture<Reply> application = new CompletableFuture<>();
      first.master.post(new Call.Read(first.clock.now(), application, Call.What.APPLICATION));
      tickets.add(application);
      assertNoAnswer(tickets.get(0));
      store.hdfs.readFaults.set(1_000_000); // its process is gone
      store.hdfs.appendFaults.set(0);
    }
    store.hdfs.readFaults.set(0);
    try (EventLoopHarness second = new EventLoopHarness(1, prepared -> prepared.useStoreOf(store))) {
      assertEquals(404, get(second, "b").get(20, TimeUnit.SECONDS).status);
      assertEquals(2L, put(second, "b").get(20, TimeUnit.SECONDS).body.get("revision"), "nobody saw the other one");
    }
    for (CompletableFuture<Reply> ticket : tickets) {
      assertFalse(ticket.isDone(), ticket.toString());
    }
  }

  @Test
  void aLongJournalIsBegunAnew() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      int begun = running.store.begun;
      Json.Raw big = new Json.Raw(new String(new char[200 << 10]).replace('\0', 'x'));
      for (int i = 0; i < 60; i++) {
        CompletableFuture<Reply> ticket = new CompletableFuture<>();
        running.master.post(new Call.KvPut(running.clock.now(), ticket, null, "same", big, null, null));
        ticket.get(20, TimeUnit.SECONDS);
      }
      EventLoopHarness.await("begun anew", () -> running.store.begun > begun);
      put(running, "after").get(20, TimeUnit.SECONDS);
      assertTrue(written(running).containsKey("k after"));
    }
  }

  @Test
  void aChangeIsFoundWithItsTokenOrNotAtAll() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      put(running, "a").get(20, TimeUnit.SECONDS);
      String name = running.store.hdfs.names().get(1);
      int before = running.store.hdfs.content(name).length();
      CompletableFuture<Reply> ticket = new CompletableFuture<>();
      running.master.post(new Call.KvAppend(running.clock.now(), ticket, null, "q/", new Json.Raw(1), "0123456789abcdef"));
      ticket.get(20, TimeUnit.SECONDS);
      int after = running.store.hdfs.content(name).length();
      for (int cut = after; cut >= before; cut--) {
        running.store.hdfs.truncate(name, cut);
        Map<String, Object> found = written(running);
        assertEquals(cut == after, found.containsKey("k q/0000000000"));
        assertEquals(cut == after, found.containsKey("t 0123456789abcdef"));
        assertEquals(cut == after ? 1L : null, found.get("n q/"));
      }
    }
  }

  @Test
  void theNextAttemptGoesOn() throws Exception {
    FakeApplicationFolder store;
    try (EventLoopHarness first = new EventLoopHarness(2)) {
      first.awaitRunning(2);
      put(first, "a").get(20, TimeUnit.SECONDS);
      store = first.store;
    }
    store.hdfs.readFaults.set(3);
    try (EventLoopHarness second = new EventLoopHarness(2, prepared -> {
      prepared.useStoreOf(store);
      prepared.manager.previous.add(FakeResourceManager.grant(firstRequest()));
      prepared.manager.previous.add(FakeResourceManager.grant(firstRequest() + 1));
    })) {
      second.awaitRunning(2);
      assertTrue(second.nodes.started.isEmpty());
      assertEquals(200, get(second, "a").get(20, TimeUnit.SECONDS).status);
      // The attempt before writes no more.
      assertTrue(written(second).containsKey("c main_0/1"));
    }
  }

  @Test
  void anAttemptThatCannotReadBeginsNothing() throws Exception {
    FakeApplicationFolder store;
    try (EventLoopHarness first = new EventLoopHarness(1)) {
      first.awaitRunning(1);
      put(first, "a").get(20, TimeUnit.SECONDS);
      store = first.store;
    }
    store.hdfs.readFaults.set(1_000_000);
    EventLoopHarness[] made = new EventLoopHarness[1];
    IOException error = assertThrows(IOException.class, () -> new EventLoopHarness(1, prepared -> {
      made[0] = prepared;
      prepared.useStoreOf(store);
      EventLoop.daemon(() -> {
        while (store.hdfs.readFaults.get() > 0) {
          prepared.clock.advance(1_000);
        }
      }, "time").start();
    }));
    assertTrue(error.getMessage().contains("no NameNode"), error.getMessage());
    made[0].close();
    store.hdfs.readFaults.set(0);
    assertTrue(JournalWriter.read(store.next().next()).containsKey("k a"));
  }

  @Test
  void anAttemptEndsOnceALaterOneHasTakenOver() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      Map<String, Object> taken = JournalWriter.read(running.store.next());
      CompletableFuture<Reply> ticket = put(running, "a");
      assertEquals(1, running.end());
      assertFalse(ticket.isDone());
      assertFalse(taken.containsKey("k a"));
      assertTrue(running.manager.unregistered.isEmpty());
    }
  }

  @Test
  void aResourceManagerThatIsAwayCostsNothing() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(2)) {
      running.awaitRunning(2);
      running.manager.faults = 1_000_000;
      for (int i = 0; i < 4; i++) {
        running.clock.advance(running.manager.expiry() / 2);
        put(running, "a" + i).get(20, TimeUnit.SECONDS);
        assertTrue(running.application().toString().contains("running=2,"));
      }
      running.manager.faults = 0;
      running.manager.news.add(new Event.Completed(running.clock.now(), EventLoopHarness.yarn(EventLoopHarness.FIRST), 0, ""));
      running.manager.news.add(new Event.Completed(running.clock.now(), EventLoopHarness.yarn(EventLoopHarness.FIRST + 1), 0, ""));
      assertEquals(0, running.end());
      assertEquals(Collections.emptyList(), running.manager.released);
      assertEquals(Collections.emptyList(), running.nodes.stopped);
    }
  }

  @Test
  void whoIsCutOffLooksForALaterAttemptBeforeItAnswers() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      put(running, "a").get(20, TimeUnit.SECONDS);
      running.store.hdfs.new Process().create("attempt-000003"); // it has not come to recover the lease
      running.manager.faults = 1_000_000;
      running.clock.advance(running.manager.expiry() + 1);
      CompletableFuture<Reply> ticket = get(running, "a");
      assertEquals(1, running.end());
      assertFalse(ticket.isDone());
    }
  }

  @Test
  void whoIsCutOffAndHasNothingToDoEndsToo() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.store.hdfs.new Process().create("attempt-000003");
      running.manager.faults = 1_000_000;
      running.clock.advance(running.manager.expiry() + 1);
      assertEquals(1, running.end());
    }
  }

  @Test
  void whoIsCutOffDoesNotTrustAFileThatSomebodyHasDeleted() throws Exception {
    try (EventLoopHarness running = new EventLoopHarness(1)) {
      running.awaitRunning(1);
      running.manager.faults = 1_000_000;
      running.clock.advance(running.manager.expiry() + 1);
      running.store.hdfs.lose("journal-");
      put(running, "a").get(20, TimeUnit.SECONDS);
      assertTrue(written(running).containsKey("k a"));
    }
  }

  @Test
  void aLaterAttemptsFilesAreItsOwn() throws Exception {
    FakeApplicationFolder store = new FakeApplicationFolder();
    store.next().readJournal(line -> { });
    assertThrows(JournalFiles.Superseded.class, () -> store.replace("result.json", out -> { }));
    assertThrows(JournalFiles.Superseded.class, () -> store.readJournal(line -> { }));
  }

  private static long firstRequest() {
    return (EventLoopHarness.IDENTITY.attempt - 1) * 1_000_000_000L + 1;
  }
}
