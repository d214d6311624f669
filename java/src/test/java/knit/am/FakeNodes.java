package knit.am;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import knit.am.core.Container;
import knit.am.core.Event;
import knit.am.core.Spec;
import knit.am.gateway.NodeManagers;

/** Starts what it is told to; what it stops is completed at the ResourceManager. */
final class FakeNodes implements NodeManagers {
  final Map<String, Map<String, String>> started = new ConcurrentHashMap<>();
  final List<String> stopped = Collections.synchronizedList(new ArrayList<>());
  final List<String> signalled = Collections.synchronizedList(new ArrayList<>());
  volatile boolean broken;
  volatile boolean erroneous;
  private final FakeResourceManager manager;

  FakeNodes(FakeResourceManager manager) {
    this.manager = manager;
  }

  @Override
  public void start(Container container, Spec.Service service, Map<String, String> environment) throws IOException {
    if (erroneous) {
      throw new NoClassDefFoundError("StartContainersRequest");
    }
    if (broken) {
      throw new IOException("node07 is away");
    }
    started.put(container.yarn(), environment);
  }

  @Override
  public void signal(String yarn) {
    signalled.add(yarn);
  }

  @Override
  public void stop(String yarn) throws IOException {
    if (broken) {
      throw new IOException("node07 is away");
    }
    stopped.add(yarn);
    manager.news.add(new Event.Completed(manager.clock.now(), yarn, 143, ""));
  }
}
