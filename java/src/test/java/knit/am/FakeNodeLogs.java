package knit.am;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import knit.am.gateway.NodeLogs;
import knit.am.json.Json;

/** Answers each call with its own text, and does not answer for nodes that hang. */
public final class FakeNodeLogs implements NodeLogs {
  public final List<String> calls = new CopyOnWriteArrayList<>();
  public final Set<String> hung = Collections.newSetFromMap(new ConcurrentHashMap<>());
  final Map<String, Failure> failures = new ConcurrentHashMap<>();
  private final CountDownLatch released = new CountDownLatch(1);

  @Override
  public Map<String, Object> list(String node, String yarn) throws Failure {
    return did(node, "list " + node + " " + yarn);
  }

  @Override
  public Map<String, Object> read(String node, String yarn, String file, long offset, long size, int limit) throws Failure {
    return did(node, "read " + node + " " + yarn + " " + file + " " + offset + " " + size + " " + limit);
  }

  /** Let the nodes that hang answer. */
  public void release() {
    released.countDown();
  }

  private Map<String, Object> did(String node, String call) throws Failure {
    calls.add(call);
    if (hung.contains(node)) {
      try {
        released.await();
      } catch (InterruptedException error) {
        Thread.currentThread().interrupt();
      }
    }
    if (failures.containsKey(node)) {
      throw failures.get(node);
    }
    return Json.map("did", call);
  }
}
