package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import knit.am.api.Reply;
import knit.am.core.Event;
import knit.am.json.Json;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

/** What is answered is written down, whatever happens to the journal's file. */
class JournalTest {
  private static CompletableFuture<Reply> put(Running running, String key) {
    CompletableFuture<Reply> ticket = new CompletableFuture<>();
    running.master.post(new Event.KvPut(running.clock.now(), ticket, key, new Json.Raw(1), null, null));
    return ticket;
  }

  private static Map<String, Object> written(Running running) throws Exception {
    return Journal.read(running.store);
  }

  @Test
  void anAnswerComesAfterTheJournal() throws Exception {
    try (Running running = new Running(1)) {
      running.awaitRunning(1);
      put(running, "a").get(20, TimeUnit.SECONDS);
      assertTrue(written(running).containsKey("k a"));
    }
  }

  @Test
  void aFaultOfTheJournalDelaysAnswersAndLosesNothing() throws Exception {
    try (Running running = new Running(1)) {
      running.awaitRunning(1);
      int begun = running.store.begun;
      running.store.journalFaults = 2;
      put(running, "a").get(20, TimeUnit.SECONDS);
      put(running, "b").get(20, TimeUnit.SECONDS);
      assertEquals(begun + 1, running.store.begun);
      assertTrue(written(running).keySet().containsAll(java.util.Arrays.asList("k a", "k b", "c main_0/1")));
    }
  }

  @Test
  void noAnswerWithoutAJournal() throws Exception {
    try (Running running = new Running(1)) {
      running.awaitRunning(1);
      running.store.journalFaults = 1_000_000;
      CompletableFuture<Reply> ticket = put(running, "a");
      Assertions.assertThrows(TimeoutException.class, () -> ticket.get(500, TimeUnit.MILLISECONDS));
      assertTrue(running.application().toString().contains("RUNNING"), "who only reads is answered");
      running.store.journalFaults = 0;
      assertEquals(200, ticket.get(20, TimeUnit.SECONDS).status);
    }
  }

  @Test
  void aLongJournalIsBegunAnew() throws Exception {
    try (Running running = new Running(1)) {
      running.awaitRunning(1);
      int begun = running.store.begun;
      Json.Raw big = new Json.Raw(new String(new char[200 << 10]).replace('\0', 'x'));
      for (int i = 0; i < 60; i++) {
        CompletableFuture<Reply> ticket = new CompletableFuture<>();
        running.master.post(new Event.KvPut(running.clock.now(), ticket, "same", big, null, null));
        ticket.get(20, TimeUnit.SECONDS);
      }
      Running.await("begun anew", () -> running.store.begun > begun);
      put(running, "after").get(20, TimeUnit.SECONDS);
      assertTrue(written(running).containsKey("k after"));
    }
  }

  @Test
  void theNextAttemptGoesOn() throws Exception {
    FakeStore store;
    try (Running first = new Running(2)) {
      first.awaitRunning(2);
      put(first, "a").get(20, TimeUnit.SECONDS);
      store = first.store;
    }
    try (Running second = new Running(2, prepared -> {
      prepared.useStoreOf(store);
      prepared.manager.previous.add(FakeResourceManager.grant(firstRequest()));
      prepared.manager.previous.add(FakeResourceManager.grant(firstRequest() + 1));
    })) {
      second.awaitRunning(2);
      assertTrue(second.nodes.started.isEmpty());
      CompletableFuture<Reply> ticket = new CompletableFuture<>();
      second.master.post(new Event.KvGet(second.clock.now(), ticket, "a", 0, 0));
      assertEquals(200, ticket.get(20, TimeUnit.SECONDS).status);
      // The attempt before writes no more.
      assertTrue(written(second).containsKey("c main_0/1"));
    }
  }

  private static long firstRequest() {
    return (Running.IDENTITY.attempt - 1) * 1_000_000_000L + 1;
  }
}
