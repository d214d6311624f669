package knit.am;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import knit.am.core.message.Event;
import knit.am.core.model.Spec;
import knit.am.gateway.NodeManagers;

/** Starts what it is told to; what it stops is completed at the ResourceManager. */
final class FakeNodes implements NodeManagers {
  final Map<String, Map<String, String>> started = new ConcurrentHashMap<>();
  final List<String> stopped = new CopyOnWriteArrayList<>();
  final List<String> signalled = new CopyOnWriteArrayList<>();
  volatile boolean broken;
  volatile boolean erroneous;
  /** Nodes whose calls hang until {@link #giveUp}; then they fail. */
  final Set<String> hanging = ConcurrentHashMap.newKeySet();
  final CountDownLatch giveUp = new CountDownLatch(1);
  final AtomicInteger hung = new AtomicInteger();
  private final FakeResourceManager manager;

  FakeNodes(FakeResourceManager manager) {
    this.manager = manager;
  }

  private void reach(String host) throws IOException {
    if (!hanging.contains(host)) {
      return;
    }
    hung.incrementAndGet();
    try {
      giveUp.await();
    } catch (InterruptedException error) {
      throw new IOException(error);
    }
    throw new Unreachable(new IOException(host + " does not answer"));
  }

  @Override
  public void start(String yarn, Spec.Service service, Map<String, String> environment) throws IOException {
    if (erroneous) {
      throw new NoClassDefFoundError("StartContainersRequest");
    }
    if (broken) {
      throw new IOException("node07 is away");
    }
    reach(manager.hostOf(yarn));
    started.put(yarn, environment);
  }

  @Override
  public void signal(String yarn) throws IOException {
    reach(manager.hostOf(yarn));
    signalled.add(yarn);
  }

  @Override
  public void stop(String yarn) throws IOException {
    if (broken) {
      throw new IOException("node07 is away");
    }
    reach(manager.hostOf(yarn));
    stopped.add(yarn);
    manager.news.add(new Event.Completed(manager.clock.now(), yarn, 143, ""));
  }
}
