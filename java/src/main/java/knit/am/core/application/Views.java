package knit.am.core.application;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import knit.am.core.effects.Effects;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Identity;
import knit.am.core.model.Outcome;
import knit.am.json.Json;

/** The state as the API, the web page and result.json show it. */
public final class Views {
  private static final int MAX_STDERR_FAILURES = 100;
  private static final int MAX_ON_PAGE = 2_000;
  private static final int EVENTS_ON_PAGE = 100;

  private final Application application;
  private final Effects effects;
  private final ContainerRegistry registry;

  Views(Application application) {
    this.application = application;
    effects = application.effects;
    registry = application.registry;
  }

  /** 0 to 1: the value that the client set, else the mean over all instances. */
  public double progress() {
    if (application.lifecycle.progress() != null) {
      return application.lifecycle.progress();
    }
    double sum = 0;
    int instances = 0;
    for (InstanceGroup group : registry.groups()) {
      sum += group.counts().progress();
      instances += group.counts().members;
    }
    return instances == 0 ? 0 : Math.min(1, sum / instances);
  }

  public String state() {
    switch (application.lifecycle.phase()) {
      case STARTING:
        return "STARTING";
      case RUNNING:
        return "RUNNING";
      default:
        return "STOPPING";
    }
  }

  /** The reply to GET application. */
  public Map<String, Object> application() {
    Map<String, Object> services = new LinkedHashMap<>();
    for (InstanceGroup group : registry.groups()) {
      services.put(group.spec.name, service(group));
    }
    Identity identity = effects.identity;
    return Json.map("id", identity.application, "name", effects.spec.name, "user", identity.user, "attempt",
        identity.attempt, "state", state(), "startedAt", application.lifecycle.startedAt(), "progress", progress(), "services",
        services, "pages", application.store.pages(), "avoidedNodes", new ArrayList<>(application.health.avoided()), "events",
        effects.timeline.number(), "version", Identity.VERSION);
  }

  private static Map<String, Object> service(InstanceGroup group) {
    InstanceCounts counts = group.counts();
    return Json.map("state", serviceState(group), "instances", counts.members, "running", counts.running, "ready",
        counts.ready, "pending", counts.pending, "waiting", counts.waiting, "succeeded", counts.succeeded, "failed",
        counts.failed, "restarts", group.restarts);
  }

  private static String serviceState(InstanceGroup group) {
    InstanceCounts counts = group.counts();
    if (!group.unblocked) {
      return "WAITING";
    }
    if (counts.members > 0 && counts.succeeded == counts.members) {
      return "SUCCEEDED";
    }
    if (counts.members > 0 && counts.live == 0 && counts.failed > 0) {
      return "FAILED";
    }
    return counts.ready + counts.succeeded >= counts.members ? "READY" : "STARTING";
  }

  /** The reply to GET containers. */
  public Map<String, Object> containers() {
    List<Object> list = new ArrayList<>();
    for (Container container : registry.all()) {
      list.add(container.shown());
    }
    return Json.map("containers", list);
  }

  /** The content of the web page: the first {@link #MAX_ON_PAGE} containers and the newest events. */
  public Map<String, Object> page(long now) {
    List<Object> list = new ArrayList<>();
    List<Container> all = registry.all();
    for (Container container : all.subList(0, Math.min(all.size(), MAX_ON_PAGE))) {
      list.add(container.shown());
    }
    long newest = effects.timeline.number();
    return Json.map("now", now, "application", application(), "containers", list, "more",
        all.size() - list.size(), "events", effects.timeline.after(Math.max(0, newest - EVENTS_ON_PAGE), EVENTS_ON_PAGE));
  }

  /** The reply to GET result. */
  public Map<String, Object> results() {
    return Json.map("results", application.store.results());
  }

  /** The reply to GET events. */
  public Map<String, Object> events(long after, int most) {
    List<Map<String, Object>> found = effects.timeline.after(after, most);
    long next = found.isEmpty() ? after : ((Number) found.get(found.size() - 1).get("seq")).longValue();
    return Json.map("events", found, "next", next, "firstKept", effects.timeline.firstKept());
  }

  /** result.json. */
  Map<String, Object> result(Outcome outcome, Integer exitCode, String diagnostics, long finishedAt) {
    Map<String, Object> services = new LinkedHashMap<>();
    for (InstanceGroup group : registry.groups()) {
      InstanceCounts counts = group.counts();
      services.put(group.spec.name, Json.map("instances", counts.members, "succeeded", counts.succeeded, "failed",
          counts.failed, "killed", group.killed, "restarts", group.restarts));
    }
    List<Object> list = new ArrayList<>();
    int failures = 0;
    for (Container container : registry.all()) {
      boolean failed = container.state() == ContainerState.FAILED && ++failures <= MAX_STDERR_FAILURES;
      list.add((Json.Lazy) () -> {
        Map<String, Object> view = container.view();
        view.put("stderr", failed ? container.stderr() : Collections.emptyList());
        return view;
      });
    }
    Identity identity = effects.identity;
    return Json.map("format", 2, "id", identity.application, "name", effects.spec.name, "user", identity.user, "outcome",
        outcome.name(), "exitCode", exitCode, "diagnostics", diagnostics, "attempt", identity.attempt, "startedAt",
        application.lifecycle.startedAt(), "finishedAt", finishedAt, "progress", outcome == Outcome.SUCCEEDED ? 1.0 : progress(),
        "services", services, "containers", list, "results", application.store.results(), "timeline", effects.timeline.timeline());
  }
}
