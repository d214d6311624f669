package knit.am.core.store;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import knit.am.core.ReducerHarness;
import knit.am.core.effects.Tokens;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.json.Json;
import org.junit.jupiter.api.Test;

/** The key-value store, barriers and everything that waits: docs/protocol.md, section 5. */
class SharedStoreTest {
  private final ReducerHarness bench = ReducerHarness.running(2);

  private Map<?, ?> put(String key, Object value, Long expect, String token) {
    return answer(new Call.KvPut(bench.clock.now(), this, null, key, new Json.Raw(value), expect, token));
  }

  private Map<?, ?> answer(Event event) {
    return (Map<?, ?>) Json.parse(Json.write(bench.on(event).one(Action.Answer.class).body).getBytes());
  }

  private Event get(String key, long after, long wait) {
    return new Call.KvGet(bench.clock.now(), this, key, after, bench.clock.now() + wait);
  }

  private Event list(String prefix, long after, long wait) {
    return new Call.KvList(bench.clock.now(), this, prefix, after, true, bench.clock.now() + wait);
  }

  private Event delete(String key) {
    return new Call.KvDelete(bench.clock.now(), this, null, key, null, null);
  }

  @Test
  void whatIsPutCanBeHad() {
    assertEquals("{revision=1}", put("a", "x", null, null).toString());
    assertEquals("{key=a, value=x, revision=1}", answer(get("a", 0, 0)).toString());
    assertEquals("{revision=2}", put("a", Json.map("n", 1), null, null).toString());
    assertEquals("{key=a, value={n=1}, revision=2}", answer(get("a", 0, 0)).toString());
    assertEquals("unknown-key", answer(get("b", 0, 0)).get("error"));
    assertEquals("{deleted=true, revision=3}", answer(delete("a")).toString());
    assertEquals("{deleted=false, revision=3}", answer(delete("a")).toString());
    assertEquals("unknown-key", answer(get("a", 0, 0)).get("error"));
  }

  @Test
  void compareAndSet() {
    assertEquals("{revision=1}", put("a", 1, 0L, null).toString());
    assertEquals("{error=conflict, message=\"a\" is at revision 1, revision=1}", put("a", 2, 0L, null).toString());
    assertEquals("{revision=2}", put("a", 2, 1L, null).toString());
    assertEquals("conflict", answer(new Call.KvDelete(1, this, null, "a", 1L, null)).get("error"));
    assertEquals(true, answer(new Call.KvDelete(1, this, null, "a", 2L, null)).get("deleted"));
  }

  @Test
  void aRepeatedCallChangesNothing() {
    assertEquals("{revision=1}", put("a", 1, 0L, "t1").toString());
    assertEquals("{revision=1}", put("a", 1, 0L, "t1").toString());
    Event append = new Call.KvAppend(1, this, null, "q/", new Json.Raw("x"), "t2");
    assertEquals("{key=q/0000000000, number=0, revision=2}", answer(append).toString());
    assertEquals("{key=q/0000000000, number=0, revision=2}", answer(append).toString());
    Event another = new Call.KvAppend(1, this, null, "q/", new Json.Raw("y"), "t3");
    assertEquals("{key=q/0000000001, number=1, revision=3}", answer(another).toString());
  }

  @Test
  void aRepeatedCallChangesNothingThoughOthersCameBetween() {
    Event put = new Call.KvPut(1, this, null, "a", new Json.Raw(1), null, "t1");
    Event append = new Call.KvAppend(1, this, null, "q/", new Json.Raw("x"), "t2");
    Event delete = new Call.KvDelete(1, this, null, "d", null, "t3");
    Event scale = new Call.Scale(1, this, null, "main", 1, true, "t4");
    Event kill = new Call.Kill(1, this, null, "main_2", "t5");
    put("d", 0, null, null);
    List<String> first = new ArrayList<>();
    for (Event event : new Event[] {put, append, delete, scale, kill}) {
      first.add(answer(event).toString());
    }
    assertEquals("{revision=2}", first.get(0));
    assertEquals("{deleted=true, revision=4}", first.get(2));
    assertEquals("{instances=3}", first.get(3));
    assertEquals("{id=main_2, state=KILLED}", first.get(4));
    put("a", 2, null, "u1");
    answer(new Call.KvDelete(1, this, null, "q/0000000000", null, "u2"));
    put("d", 3, null, "u3");
    answer(new Call.Scale(1, this, null, "main", 1, true, "u4"));
    ReducerHarness next = bench.next().registered(ReducerHarness.on(1, "node07"), ReducerHarness.on(2, "node07"));
    for (ReducerHarness one : new ReducerHarness[] {bench, next}) {
      Map<String, Object> state = one.core.dump();
      List<String> again = new ArrayList<>();
      for (Event event : new Event[] {put, append, delete, scale, kill}) {
        again.add(((Map<?, ?>) Json.parse(Json.write(one.on(event).one(Action.Answer.class).body).getBytes())).toString());
      }
      assertEquals(first, again);
      assertEquals(Json.write(state), Json.write(one.core.dump()));
    }
  }

  @Test
  void theNewestTokensAreRemembered() {
    for (int i = 0; i < Tokens.LIMIT + 2; i++) {
      put("a", i, null, "t" + i);
    }
    assertEquals(Tokens.LIMIT, bench.journal.keySet().stream().filter(key -> key.startsWith("t ")).count());
    assertEquals("{revision=3}", put("a", 0, null, "t2").toString());
    ReducerHarness next = bench.next();
    next.on(new Call.KvPut(1, this, null, "a", new Json.Raw(1), null, "new")); // the oldest goes, in the next attempt too
    assertTrue(next.journal.containsKey("t t3") && !next.journal.containsKey("t t2"));
    for (int i = 0; i < 10_000; i++) {
      String prefix = new String(new char[400]).replace('\0', 'p');
      next.on(new Call.KvAppend(1, this, null, prefix, new Json.Raw(1), "long" + i));
    }
    assertTrue(next.journal.keySet().stream().filter(key -> key.startsWith("t ")).count() < 6_000, "bytes are counted, too");
  }

  @Test
  void aContainerThatHasEndedOrWasReplacedWritesNoMore() {
    Event[] writes = {
        new Call.KvPut(1, this, "container_1", "a", new Json.Raw(1), null, null),
        new Call.KvAppend(1, this, "container_1", "a", new Json.Raw(1), null),
        new Call.KvDelete(1, this, "container_1", "a", null, null),
        arrive(1, "x", 0),
        new Call.Progress(1, this, "container_1", 0.5, Json.map()),
        new Call.Returned(1, this, "container_1", new Json.Raw(1)),
        new Call.Ready(1, this, "container_1"),
        new Call.AddPage(1, this, "container_1", "p", 80, "/"),
    };
    assertEquals("{revision=1}", answer(writes[0]).toString());
    bench.completed(1, -100); // its node was lost; it may still run there
    for (Event write : writes) {
      assertEquals("ended", answer(write).get("error"));
    }
    ReducerHarness next = bench.next();
    next.on(new Call.KvPut(1, this, "container_3", "a", new Json.Raw(1), null, null));
    assertEquals(ReducerHarness.list("Answer 503"), next.names()); // whether it was started is not known yet: it asks again
    next.registered(ReducerHarness.on(2, "node07"), ReducerHarness.on(3, "node07"));
    next.on(new Call.KvPut(1, this, "container_3", "a", new Json.Raw(1), null, null));
    assertEquals(ReducerHarness.list("Answer 200"), next.names());
    next.on(writes[0]);
    assertEquals(ReducerHarness.list("Answer 409"), next.names());
  }

  @Test
  void numbersAreNeverGivenTwice() {
    answer(new Call.KvAppend(1, this, null, "q/", new Json.Raw(1), null));
    answer(delete("q/0000000000"));
    assertEquals(1L, answer(new Call.KvAppend(1, this, null, "q/", new Json.Raw(1), null)).get("number"));
    ReducerHarness next = bench.next();
    next.on(new Call.KvAppend(1, this, null, "q/", new Json.Raw(1), null));
    assertEquals(2L, next.one(Action.Answer.class).body.get("number"));
  }

  @Test
  void aCallWaitsForAKey() {
    assertEquals(ReducerHarness.list(), bench.on(get("a", 0, 5000)).names());
    bench.on(new Call.KvPut(bench.clock.now(), this, null, "b", new Json.Raw(1), null, null));
    assertEquals(ReducerHarness.list("Answer 200"), bench.names());
    bench.on(new Call.KvPut(bench.clock.now(), this, null, "a", new Json.Raw(1), null, null));
    assertEquals(ReducerHarness.list("Answer 200", "Answer 200"), bench.names());
    // For a newer value than the one that is there, in vain.
    assertEquals(ReducerHarness.list(), bench.on(get("a", 2, 5000)).names());
    assertEquals(ReducerHarness.list("Answer 404"), bench.tick(5000).names());
    assertEquals(ReducerHarness.list(), bench.tick(50_000).names());
  }

  @Test
  void changesBelowAPrefixAreSeenInTheirOrder() {
    put("x/1", "a", null, null);
    put("y/1", "b", null, null);
    put("x/2", "c", null, null);
    Map<?, ?> page = answer(list("x/", -1, 0));
    assertEquals("[{key=x/1, value=a, revision=1}, {key=x/2, value=c, revision=3}]", page.get("entries").toString());
    assertEquals("3 false []", page.get("revision") + " " + page.get("more") + " " + page.get("deleted"));
    assertEquals(ReducerHarness.list(), bench.on(list("x/", 3, 5000)).names());
    bench.on(new Call.KvPut(1, this, null, "y/2", new Json.Raw(1), null, null));
    assertEquals(ReducerHarness.list("Answer 200"), bench.names());
    bench.on(delete("x/1"));
    assertEquals(ReducerHarness.list("Answer 200", "Answer 200"), bench.names());
    page = bench.all(Action.Answer.class).get(1).body;
    assertEquals("[] [x/1] 5", page.get("entries") + " " + page.get("deleted") + " " + page.get("revision"));
    // Nothing is there yet: it waits, too.
    assertEquals(ReducerHarness.list(), bench.on(list("z/", 0, 5000)).names());
    assertEquals(ReducerHarness.list("Answer 200"), bench.tick(5000).names());
  }

  @Test
  void longListsComeInPages() {
    String big = new String(new char[200 << 10]).replace('\0', 'x');
    for (int i = 0; i < 5; i++) {
      put("k" + i, big, null, null);
    }
    List<Object> keys = new ArrayList<>();
    long after = -1;
    Map<?, ?> page;
    do {
      page = answer(list("k", after, 0));
      ((List<?>) page.get("entries")).forEach(entry -> keys.add(((Map<?, ?>) entry).get("key")));
      after = (Long) page.get("revision");
    } while ((Boolean) page.get("more"));
    assertEquals("[k0, k1, k2, k3, k4]", keys.toString());
  }

  @Test
  void theStoreIsBounded() {
    String big = new String(new char[250 << 10]).replace('\0', 'x');
    Map<?, ?> last = null;
    int fitted = 0;
    for (int i = 0; i < 100 && (last == null || !last.containsKey("error")); i++, fitted++) {
      last = put("k" + i, big, null, null);
    }
    assertEquals("too-large", last.get("error"));
    assertTrue(fitted > 60);
    answer(delete("k0"));
    assertTrue(put("again", big, null, null).containsKey("revision"));
  }

  @Test
  void whoAsksForWhatIsForgottenGetsEverything() {
    put("a", 1, null, null);
    for (int i = 0; i < 10_001; i++) {
      put("b", i, null, null);
      answer(delete("b"));
    }
    Map<?, ?> page = answer(list("", 1, 0));
    assertEquals(true, page.get("reset"));
    assertEquals("[{key=a, value=1, revision=1}]", page.get("entries").toString());
  }

  @Test
  void eventsAreNumberedAndWaitedFor() {
    Event all = new Call.ReadEvents(1, this, 0, 3, 1);
    Map<?, ?> page = answer(all);
    assertEquals("[1, 2, 3]", seqs(page));
    long last = 0;
    do {
      last = (Long) answer(new Call.ReadEvents(1, this, last, 3, 1)).get("next");
    } while (last < ((Number) bench.application().get("events")).longValue());
    Event waiting = new Call.ReadEvents(bench.clock.now(), this, last, 100, bench.clock.now() + 5000);
    assertEquals(ReducerHarness.list(), bench.on(waiting).names());
    assertEquals(ReducerHarness.list("Answer 200"), bench.completed(1, 0).names());
  }

  private static String seqs(Map<?, ?> page) {
    List<Object> seqs = new ArrayList<>();
    ((List<?>) page.get("events")).forEach(event -> seqs.add(((Map<?, ?>) event).get("seq")));
    return seqs.toString();
  }

  private Event arrive(int request, String name, int parties) {
    return new Call.Arrive(bench.clock.now(), this, "container_" + request, name, parties, bench.clock.now() + 5000);
  }

  @Test
  void aBarrierOpensWhenAllInstancesAreThereAndStaysOpen() {
    assertEquals(ReducerHarness.list(), bench.on(arrive(1, "x", 0)).names());
    assertEquals(ReducerHarness.list(), bench.on(arrive(1, "x", 0)).names());
    assertEquals(ReducerHarness.list("Answer 200", "Answer 200", "Answer 200"), bench.on(arrive(2, "x", 0)).names());
    assertEquals("{open=true, arrived=2, parties=2}", answer(arrive(1, "x", 0)).toString());
    assertEquals(ReducerHarness.list(), bench.on(arrive(1, "y", 0)).names());
    bench.tick(5000);
    assertEquals("{open=false, arrived=1, parties=2}", bench.one(Action.Answer.class).body.toString());
  }

  @Test
  void aBarrierOpensWhenTheOneThatIsMissingLeaves() {
    bench.on(arrive(1, "x", 0));
    assertEquals(ReducerHarness.list("Stop container_2", "Answer 200", "Answer 200"), bench.kill("main_1").names());
  }

  @Test
  void whoHasLeftHasNotArrived() {
    ReducerHarness bench = ReducerHarness.running(4);
    bench.on(arrive(3, "x", 0));
    bench.on(arrive(4, "x", 0));
    bench.on(arrive(4, "three", 3));
    assertEquals(ReducerHarness.list("Stop container_4", "Stop container_3", "Answer 200"), sorted(bench.scale(2).names()));
    // Two had come, two are left: but these two have not come.
    assertEquals(ReducerHarness.list(), bench.on(arrive(1, "x", 0)).names());
    assertEquals(ReducerHarness.list(), bench.on(arrive(3, "x", 0)).names());
    bench = bench.next().registered(ReducerHarness.on(1, "node07"), ReducerHarness.on(2, "node07"));
    assertEquals(ReducerHarness.list(), bench.on(arrive(1, "x", 0)).names());
    assertEquals(ReducerHarness.list("Answer 200", "Answer 200"), bench.on(arrive(2, "x", 0)).names());
    assertEquals(ReducerHarness.list(), bench.on(arrive(1, "three", 3)).names());
    assertEquals(ReducerHarness.list(), bench.on(arrive(2, "three", 3)).names());
    bench.tick(5000);
    assertEquals("{open=false, arrived=2, parties=3}", bench.all(Action.Answer.class).get(0).body.toString());
  }

  private static List<String> sorted(List<String> names) {
    names.sort(java.util.Comparator.<String>reverseOrder());
    return names;
  }

  @Test
  void whoComesLaterIsWaitedForToo() {
    bench.on(arrive(1, "x", 0));
    bench.scale(3);
    assertEquals(ReducerHarness.list(), bench.on(arrive(2, "x", 0)).names());
    bench.grant(3);
    bench.launched(3);
    assertEquals(3, bench.on(arrive(3, "x", 0)).all(Action.Answer.class).size());
    bench.scale(4);
    assertEquals(ReducerHarness.list("Answer 200"), bench.on(arrive(1, "x", 0)).names());
  }

  @Test
  void aBarrierThatNobodyIsAtAnyMoreDoesNotOpen() {
    bench.on(arrive(2, "x", 0));
    bench.scale(0);
    bench.scale(1);
    assertTrue(bench.journal.keySet().stream().noneMatch(key -> key.startsWith("b ") || key.startsWith("w ")));
  }

  @Test
  void anArrivalIsOneSmallRecord() {
    int size = 1_000;
    ReducerHarness bench = new ReducerHarness(size, 0);
    bench.registered();
    for (int request = 1; request <= size; request++) {
      bench.grant(request);
    }
    long bytes = 0;
    for (int request = 1; request <= size; request++) {
      bench.core.apply(new Call.Arrive(1, this, "container_" + request, "epoch-1", 0, 1));
      bytes += Json.write(bench.core.changes()).length();
    }
    assertTrue(bytes < 100 * size, bytes + " bytes");
  }

  @Test
  void roundsGoOnForEver() {
    ReducerHarness bench = ReducerHarness.running(1);
    for (int round = 0; round < Barriers.OPEN_LIMIT + 100; round++) {
      assertEquals(ReducerHarness.list("Answer 200"), bench.on(arrive(1, "round-" + round, 0)).names());
    }
    assertEquals(Barriers.OPEN_LIMIT, bench.journal.keySet().stream().filter(key -> key.startsWith("b ")).count());
    bench = bench.next();
    bench.on(arrive(1, "one more", 0));
    assertTrue(bench.journal.containsKey("b main/round-101") && !bench.journal.containsKey("b main/round-100"));
  }

  @Test
  void aBarrierForAGivenNumber() {
    assertEquals(ReducerHarness.list("Answer 200"), bench.on(arrive(1, "x", 1)).names());
    assertEquals("conflict", answer(arrive(2, "x", 2)).get("error"));
    assertEquals("ended", answer(arrive(9, "x", 0)).get("error"));
  }

  @Test
  void allOfItIsThereAfterARestart() {
    put("a", Json.map("deep", new ArrayList<>()), null, "t1");
    put("b", 1.5, null, null);
    answer(delete("b"));
    bench.on(arrive(1, "x", 0));
    bench.on(new Call.AddPage(1, this, "container_1", "dash", 8787, "/status"));
    ReducerHarness next = bench.next().registered(ReducerHarness.on(1, "node07"), ReducerHarness.on(2, "node07"));
    next.on(new Call.KvGet(1, this, "a", 0, 1));
    assertEquals("{key=a, value={\"deep\":[]}, revision=1}",
        next.one(Action.Answer.class).body.toString().replaceAll("knit.am.json.Json.Raw@[0-9a-f]+", "{\"deep\":[]}"));
    next.on(new Call.KvPut(1, this, null, "a", new Json.Raw(1), 0L, "t1"));
    assertEquals("{revision=1}", next.one(Action.Answer.class).body.toString());
    next.on(new Call.KvPut(1, this, null, "c", new Json.Raw(1), null, null));
    assertEquals("{revision=4}", next.one(Action.Answer.class).body.toString());
    next.on(new Call.Arrive(1, this, "container_2", "x", 0, 1));
    assertEquals(true, next.one(Action.Answer.class).body.get("open"));
    assertEquals("{dash={container=main_0, host=node07, port=8787, path=/status}}",
        next.application().get("pages").toString());
    next.completed(1, 0);
    assertEquals("{}", next.application().get("pages").toString());
    assertEquals("{}", next.next().application().get("pages").toString());
  }

  @Test
  void oneContainerCannotTakeAllPages() {
    for (int i = 0; i < ContainerPages.EACH; i++) {
      bench.on(new Call.AddPage(1, this, "container_1", "dash" + i, 8787, "/"));
      assertEquals(200, bench.one(Action.Answer.class).status);
    }
    bench.on(new Call.AddPage(1, this, "container_1", "more", 8787, "/"));
    assertEquals(413, bench.one(Action.Answer.class).status);
    bench.on(new Call.AddPage(1, this, "container_1", "dash0", 9999, "/"));
    assertEquals(200, bench.one(Action.Answer.class).status);
    bench.on(new Call.AddPage(1, this, "container_2", "more", 8787, "/"));
    assertEquals(200, bench.one(Action.Answer.class).status);
  }
}
