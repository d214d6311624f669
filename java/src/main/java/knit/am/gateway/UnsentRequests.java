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
 * Requests and releases that are to be sent to the ResourceManager. They are dropped when it has answered them, so that the memory
 * does not grow with the number of past containers.
 */
final class UnsentRequests {
  /** Releases that are repeated to a ResourceManager that has restarted. */
  private static final int MOST_RELEASED = 10_000;

  /** A request for one container, or its cancellation. */
  static final class Ask {
    final long request;
    /** Asks of one kind are accepted or refused together. The service's index; -1 for cancellations. */
    final int kind;
    final List<ResourceRequest> parts;

    Ask(long request, int kind, List<ResourceRequest> parts) {
      this.request = request;
      this.kind = kind;
      this.parts = parts;
    }
  }

  /** The content of one heartbeat. */
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

  /** Open requests. */
  private final Map<Long, Ask> wanted = new LinkedHashMap<>();
  private final Map<Long, Ask> unsent = new LinkedHashMap<>();
  private final Set<ContainerId> releases = new LinkedHashSet<>();
  /** Released containers whose end is not reported yet. */
  private final Set<ContainerId> released = new LinkedHashSet<>();
  private final Set<String> avoided = new LinkedHashSet<>();
  /** Unsent changes: whether to avoid a host. */
  private final Map<String, Boolean> changes = new HashMap<>();

  synchronized void want(Ask ask) {
    wanted.put(ask.request, ask);
    unsent.put(ask.request, ask);
  }

  /** Cancel a request. */
  synchronized void cancel(long request) {
    Ask before = wanted.remove(request);
    if (before != null && unsent.remove(request) == null) {
      unsent.put(request, cancellation(before));
    }
  }

  /** A request was granted or refused. */
  synchronized void over(long request) {
    wanted.remove(request);
    unsent.remove(request);
  }

  /** The cancellation of a request. Its size is small, so that it is never refused for the size of the request. */
  private static Ask cancellation(Ask ask) {
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

  /** Remove and return all that is unsent. */
  Batch take() {
    return take(null);
  }

  /** The same with the asks of one kind; null for all kinds. */
  synchronized Batch take(Integer kind) {
    List<Ask> asks = new ArrayList<>();
    for (Ask ask : unsent.values()) {
      if (kind == null || ask.kind == kind) {
        asks.add(ask);
      }
    }
    asks.forEach(ask -> unsent.remove(ask.request));
    List<String> avoid = new ArrayList<>();
    List<String> allow = new ArrayList<>();
    changes.forEach((host, bad) -> (bad ? avoid : allow).add(host));
    Batch batch = new Batch(asks, releases, avoid, allow);
    releases.clear();
    changes.clear();
    return batch;
  }

  /** A heartbeat failed: send its content again, unless it has changed meanwhile. */
  synchronized void putBack(Batch batch) {
    batch.asks.forEach(ask -> {
      if (ask.kind < 0 || wanted.containsKey(ask.request)) {
        unsent.putIfAbsent(ask.request, ask);
      }
    });
    releases.addAll(batch.releases);
    batch.avoid.forEach(host -> changes.putIfAbsent(host, true));
    batch.allow.forEach(host -> changes.putIfAbsent(host, false));
  }

  /** The ResourceManager has restarted without its state: send everything again. */
  synchronized void resendAll() {
    unsent.clear();
    unsent.putAll(wanted);
    releases.addAll(released);
    changes.clear();
    avoided.forEach(host -> changes.put(host, true));
  }

  /** The number of entries. */
  synchronized int size() {
    return wanted.size() + unsent.size() + releases.size() + released.size() + avoided.size() + changes.size();
  }
}
