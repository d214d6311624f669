package knit.am.gateway;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.Resource;
import org.apache.hadoop.yarn.api.records.ResourceRequest;

/**
 * What the ResourceManager is to be told. It is kept until the ResourceManager has taken it, and no longer: nothing here grows
 * with the containers that there ever were.
 */
final class UnsentRequests {
  /** Releases that are repeated to a ResourceManager that has restarted. */
  private static final int MOST_RELEASED = 10_000;

  /** One container that is asked for, or a request that is taken back. */
  static final class Ask {
    final long request;
    /** Asks of one kind are accepted or refused together: the service's index, -1 for what is taken back. */
    final int kind;
    final List<ResourceRequest> parts;

    Ask(long request, int kind, List<ResourceRequest> parts) {
      this.request = request;
      this.kind = kind;
      this.parts = parts;
    }
  }

  /** What one call to the ResourceManager carries. */
  static final class Batch {
    final List<Ask> asks;
    final List<ContainerId> releases;
    final List<String> avoid;
    final List<String> allow;

    private Batch(List<Ask> asks, Collection<ContainerId> releases, List<String> avoid, List<String> allow) {
      this.asks = asks;
      this.releases = new ArrayList<>(releases);
      this.avoid = avoid;
      this.allow = allow;
    }

    List<ResourceRequest> parts() {
      List<ResourceRequest> parts = new ArrayList<>();
      asks.forEach(ask -> parts.addAll(ask.parts));
      return parts;
    }

    Set<Integer> kinds() {
      Set<Integer> kinds = new LinkedHashSet<>();
      asks.forEach(ask -> kinds.add(ask.kind));
      return kinds;
    }
  }

  /** Containers that are asked for and not given yet. */
  private final Map<Long, Ask> wanted = new LinkedHashMap<>();
  private final Map<Long, Ask> unsaid = new LinkedHashMap<>();
  private final Set<ContainerId> releases = new LinkedHashSet<>();
  /** Given back, and not known to have ended. */
  private final Set<ContainerId> released = new LinkedHashSet<>();
  private final Set<String> avoided = new LinkedHashSet<>();
  /** Whether to avoid a host, as it is not said yet. */
  private final Map<String, Boolean> changes = new HashMap<>();

  synchronized void want(Ask ask) {
    wanted.put(ask.request, ask);
    unsaid.put(ask.request, ask);
  }

  /** Take a request back. */
  synchronized void cancel(long request) {
    Ask before = wanted.remove(request);
    if (before != null && unsaid.remove(request) == null) {
      unsaid.put(request, nothing(before));
    }
  }

  /** A request was answered, or refused: it is over. */
  synchronized void over(long request) {
    wanted.remove(request);
    unsaid.remove(request);
  }

  /** Takes a request back. It is small, so that it is never refused for the size that was asked for. */
  private static Ask nothing(Ask ask) {
    List<ResourceRequest> parts = new ArrayList<>();
    for (ResourceRequest part : ask.parts) {
      ResourceRequest none = ResourceRequest.newBuilder().priority(part.getPriority()).resourceName(part.getResourceName())
          .capability(Resource.newInstance(1, 1)).numContainers(0).relaxLocality(part.getRelaxLocality())
          .executionTypeRequest(part.getExecutionTypeRequest()).allocationRequestId(ask.request).build();
      parts.add(none);
    }
    return new Ask(ask.request, -1, parts);
  }

  synchronized void release(ContainerId container) {
    releases.add(container);
    released.add(container);
    if (released.size() > MOST_RELEASED) {
      released.remove(released.iterator().next());
    }
  }

  synchronized void ended(ContainerId container) {
    releases.remove(container);
    released.remove(container);
  }

  synchronized void avoid(String host, boolean avoid) {
    if (avoid) {
      avoided.add(host);
    } else {
      avoided.remove(host);
    }
    changes.put(host, avoid);
  }

  /** What is to be said now. */
  Batch take() {
    return take(null);
  }

  /** What is to be said now, of the asks those of one kind; null for all of them. */
  synchronized Batch take(Integer kind) {
    List<Ask> asks = new ArrayList<>();
    for (Ask ask : unsaid.values()) {
      if (kind == null || ask.kind == kind) {
        asks.add(ask);
      }
    }
    asks.forEach(ask -> unsaid.remove(ask.request));
    List<String> avoid = new ArrayList<>();
    List<String> allow = new ArrayList<>();
    changes.forEach((host, bad) -> (bad ? avoid : allow).add(host));
    Batch batch = new Batch(asks, releases, avoid, allow);
    releases.clear();
    changes.clear();
    return batch;
  }

  /** It did not reach the ResourceManager: to be said again, unless it has changed meanwhile. */
  synchronized void putBack(Batch batch) {
    batch.asks.forEach(ask -> {
      if (ask.kind < 0 || wanted.containsKey(ask.request)) {
        unsaid.putIfAbsent(ask.request, ask);
      }
    });
    releases.addAll(batch.releases);
    batch.avoid.forEach(host -> changes.putIfAbsent(host, true));
    batch.allow.forEach(host -> changes.putIfAbsent(host, false));
  }

  /** The ResourceManager has restarted and knows nothing: all is to be said again. */
  synchronized void sayAllAgain() {
    unsaid.clear();
    unsaid.putAll(wanted);
    releases.addAll(released);
    changes.clear();
    avoided.forEach(host -> changes.put(host, true));
  }

  /** How much is kept. */
  synchronized int size() {
    return wanted.size() + unsaid.size() + releases.size() + released.size() + avoided.size() + changes.size();
  }
}
