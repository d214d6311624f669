package knit.am;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongFunction;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;
import knit.am.gateway.ResourceManager;
import knit.am.util.Clock;

/** Gives every request a container at the next heartbeat, as long as {@link #generous}. */
final class FakeResourceManager implements ResourceManager {
  final LinkedBlockingQueue<Event> news = new LinkedBlockingQueue<>();
  final List<String> released = new CopyOnWriteArrayList<>();
  final List<String> unregistered = new CopyOnWriteArrayList<>();
  final List<String> avoided = new CopyOnWriteArrayList<>();
  final List<String> administered = new CopyOnWriteArrayList<>();
  final List<Grant> previous = new CopyOnWriteArrayList<>();
  volatile String host = "node07";
  /** The node for a request, where it is not {@link #host}. */
  volatile LongFunction<String> place = request -> host;
  volatile boolean generous = true;
  volatile int faults;
  volatile IOException hostsFault;
  final AtomicInteger hostsAsked = new AtomicInteger();
  volatile boolean gone;
  /** As on another version of Hadoop that lacks a method. */
  volatile boolean broken;
  volatile String tracking;
  private final Map<String, String> hosts = new ConcurrentHashMap<>();
  private final List<Long> requests = Collections.synchronizedList(new ArrayList<>());
  final Clock clock;

  FakeResourceManager(Clock clock) {
    this.clock = clock;
  }

  static String yarn(long request) {
    return String.format("container_1_0001_01_%06d", request % 1_000_000_000 + 1);
  }

  static Grant grant(long request) {
    return new Grant(yarn(request), request, "node07:8041", "node07:8042");
  }

  /** The host of a container that was granted. */
  String hostOf(String yarn) {
    return hosts.getOrDefault(yarn, "node07");
  }

  @Override
  public List<Grant> register(String host, int port, String trackingUrl) {
    tracking = trackingUrl;
    return new ArrayList<>(previous);
  }

  @Override
  public void request(long request, Spec.Service service, List<String> hosts) {
    requests.add(request);
  }

  @Override
  public void avoid(String host, boolean avoid) {
    avoided.add((avoid ? "+" : "-") + host);
  }

  @Override
  public List<String> hosts() throws IOException {
    hostsAsked.incrementAndGet();
    if (hostsFault != null) {
      throw hostsFault;
    }
    return Collections.singletonList("node07");
  }

  @Override
  public void administer(boolean queue, String value) throws IOException {
    if (value.equals("nope")) {
      throw new IOException("no such queue");
    }
    administered.add((queue ? "queue " : "priority ") + value);
  }

  @Override
  public void cancel(long request) {
    requests.remove(request);
  }

  @Override
  public void release(String yarn) {
    released.add(yarn);
  }

  @Override
  public List<Event> heartbeat(double progress) throws IOException {
    if (broken) {
      throw new NoSuchMethodError("AllocateResponse.getIt()");
    }
    if (gone) {
      throw new Gone("gone", null);
    }
    if (faults > 0) {
      faults--;
      throw new IOException("no connection");
    }
    List<Event> events = new ArrayList<>();
    news.drainTo(events);
    List<Grant> grants = new ArrayList<>();
    synchronized (requests) {
      while (generous && !requests.isEmpty()) {
        long request = requests.remove(0);
        hosts.put(yarn(request), place.apply(request));
        grants.add(new Grant(yarn(request), request, place.apply(request) + ":8041",
            place.apply(request) + ":8042"));
      }
    }
    if (!grants.isEmpty()) {
      events.add(new Event.Allocated(clock.now(), grants));
    }
    return events;
  }

  @Override
  public long expiry() {
    return 600_000;
  }

  @Override
  public void unregister(Outcome outcome, String diagnostics) {
    unregistered.add(outcome + ": " + diagnostics);
  }
}
