package knit.am.gateway;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import knit.am.Specs;
import knit.am.core.message.Event;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;
import knit.am.util.ManualClock;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.security.AccessControlException;
import org.apache.hadoop.security.token.SecretManager;
import org.apache.hadoop.yarn.api.records.Container;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.PreemptionContainer;
import org.apache.hadoop.yarn.api.records.PreemptionContract;
import org.apache.hadoop.yarn.api.records.PreemptionMessage;
import org.apache.hadoop.yarn.api.records.StrictPreemptionContract;
import org.junit.jupiter.api.Test;

/** What is said to the ResourceManager, and said again. */
class YarnResourceManagerTest {
  private final FakeProtocol protocol = new FakeProtocol();
  private final Map<String, Container> containers = new ConcurrentHashMap<>();
  private final YarnResourceManager manager =
      new YarnResourceManager(protocol, new Configuration(false), new ManualClock(), containers, null);
  private final Spec spec = Specs.of("[\"small\"]", new String[] {
    Specs.service("small", 1, "resources", "{}"), Specs.service("large", 1, "memory", "4096", "resources", "{}"),
    Specs.service("placed", 1, "memory", "100", "resources", "{}", "nodes", "[\"node01\",\"node02\"]"),
  });

  YarnResourceManagerTest() throws IOException {
    manager.register("node01", 1, "");
  }

  private void request(long request, String service) {
    manager.request(request, spec.services.get(service), null);
  }

  /** The newest event of a kind. */
  private <T extends Event> T one(List<Event> events, Class<T> type) {
    for (Event event : events) {
      if (type.isInstance(event)) {
        return type.cast(event);
      }
    }
    throw new AssertionError("no " + type.getSimpleName() + " among " + events);
  }

  @Test
  void onlyWhatIsTooLargeIsRefused() throws IOException {
    protocol.most = 1024;
    request(1, "small");
    request(2, "large");
    request(3, "placed");
    request(4, "large");
    Event.RequestsRefused refused = one(manager.heartbeat(0), Event.RequestsRefused.class);
    assertEquals(Arrays.asList(2L, 4L), refused.requests);
    assertEquals("Invalid resource request! more than 1024", refused.message);
    assertEquals("[1, 3]", protocol.asked.keySet().toString());
    int calls = protocol.calls;
    assertEquals(Collections.emptyList(), manager.heartbeat(0));
    assertEquals(calls + 1, protocol.calls);
  }

  @Test
  void whatIsTooLargeNowCanBeTakenBack() throws IOException {
    request(1, "large");
    manager.heartbeat(0);
    protocol.most = 1024;
    manager.cancel(1);
    request(2, "small");
    manager.heartbeat(0);
    assertEquals("[2]", protocol.asked.keySet().toString());
  }

  @Test
  void whatIsTakenBackBeforeItWasSaidIsNeverSaid() throws IOException {
    request(1, "small");
    manager.cancel(1);
    manager.heartbeat(0);
    assertEquals("[]", protocol.asked.keySet().toString());
  }

  @Test
  void whatDidNotArriveIsSaidAgain() throws IOException {
    request(1, "small");
    manager.avoid("node03", true);
    protocol.broken = 1;
    assertThrows(IOException.class, () -> manager.heartbeat(0));
    manager.heartbeat(0);
    assertEquals("[1] [node03]", protocol.asked.keySet() + " " + protocol.avoided);
  }

  @Test
  void whatWasHeardBeforeAFaultIsNotLost() throws IOException {
    protocol.most = 1024;
    protocol.generous = true;
    request(1, "small");
    request(2, "large");
    protocol.broken = 3; // all together is refused, the small one is given, and then the connection breaks
    assertThrows(IOException.class, () -> manager.heartbeat(0));
    List<Event> events = manager.heartbeat(0);
    assertEquals(1, one(events, Event.Allocated.class).grants.size());
    assertEquals(Arrays.asList(2L), one(events, Event.RequestsRefused.class).requests);
  }

  /** As after it has ended the attempt, or has restarted without its state. */
  @Test
  void whoIsNotLetInIsToldSo() {
    protocol.refusal = new SecretManager.InvalidToken("appattempt_1_0001_000001 not found in AMRMTokenSecretManager.");
    assertFalse(assertThrows(ResourceManager.Rejected.class, () -> manager.heartbeat(0)).known);
    protocol.refusal = new AccessControlException("not authorized");
    assertFalse(assertThrows(ResourceManager.Rejected.class, () -> manager.heartbeat(0)).known);
  }

  @Test
  void preemptionIsHeardBeforehand() throws IOException {
    ContainerId strict = ContainerId.fromString("container_1_0001_01_000002");
    ContainerId other = ContainerId.fromString("container_1_0001_01_000003");
    protocol.preemption = PreemptionMessage.newInstance(
        StrictPreemptionContract.newInstance(Collections.singleton(PreemptionContainer.newInstance(strict))),
        PreemptionContract.newInstance(Collections.emptyList(), Collections.singleton(PreemptionContainer.newInstance(other))));
    assertEquals(Arrays.asList(strict.toString(), other.toString()), one(manager.heartbeat(0), Event.Preempting.class).yarns);
  }

  @Test
  void aRestartedResourceManagerIsToldAllAgain() throws IOException {
    request(1, "small");
    request(2, "small");
    manager.avoid("node03", true);
    manager.heartbeat(0);
    manager.cancel(2);
    protocol.restarted = true;
    protocol.asked.clear();
    protocol.avoided.clear();
    manager.heartbeat(0);
    assertEquals("[1] [node03]", protocol.asked.keySet() + " " + protocol.avoided);
    protocol.restarted = true;
    manager.unregister(Outcome.SUCCEEDED, "");
  }

  @Test
  void nothingGrowsWithTheContainersThatThereEverWere() throws IOException {
    protocol.generous = true;
    long[] used = new long[2];
    for (long round = 0; round < 2; round++) {
      for (long request = round * 50_000 + 1; request <= (round + 1) * 50_000; request++) {
        request(request, "small");
        for (Event event : manager.heartbeat(0)) {
          if (event instanceof Event.Allocated) {
            String id = ((Event.Allocated) event).grants.get(0).yarn;
            if (request % 10 == 0) {
              manager.release(id);
            } else {
              protocol.end(ContainerId.fromString(id), 1);
            }
          }
        }
        protocol.released.clear();
      }
      manager.heartbeat(0);
      manager.heartbeat(0);
      assertEquals(0, containers.size() + manager.kept());
      used[(int) round] = used();
    }
    assertTrue(used[1] - used[0] < 1 << 20, "bytes after 50,000 and after 100,000: " + Arrays.toString(used));
  }

  private static long used() {
    for (int i = 0; i < 3; i++) {
      System.gc();
    }
    return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
  }
}
