package knit.am.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import knit.am.json.Json;

/** The state as the API and result.json show it. */
final class Views {
  private static final int MAX_STDERR_FAILURES = 100;
  private static final int MAX_ON_PAGE = 2_000;
  private static final int EVENTS_ON_PAGE = 100;

  private final Context context;

  Views(Context context) {
    this.context = context;
  }

  /** 0 to 1: what the client set, else the mean over all instances. */
  double progress() {
    if (context.ending.progress() != null) {
      return context.ending.progress();
    }
    double sum = 0;
    int instances = 0;
    for (Group group : context.roster.groups()) {
      sum += group.tally().progress();
      instances += group.tally().members;
    }
    return instances == 0 ? 0 : Math.min(1, sum / instances);
  }

  String state() {
    switch (context.ending.phase()) {
      case STARTING:
        return "STARTING";
      case RUNNING:
        return "RUNNING";
      default:
        return "STOPPING";
    }
  }

  /** The reply to GET application. */
  Map<String, Object> application(Pages pages) {
    Map<String, Object> services = new LinkedHashMap<>();
    for (Group group : context.roster.groups()) {
      services.put(group.spec.name, service(group));
    }
    Identity identity = context.identity;
    return Json.map("id", identity.application, "name", context.spec.name, "user", identity.user, "attempt",
        identity.attempt, "state", state(), "startedAt", context.ending.startedAt(), "progress", progress(), "services",
        services, "pages", pages.view(), "avoidedNodes", new ArrayList<>(context.instances.health().avoided()), "events",
        context.log.number(), "version", Identity.VERSION);
  }

  private static Map<String, Object> service(Group group) {
    InstanceCounts tally = group.tally();
    return Json.map("state", serviceState(group), "instances", tally.members, "running", tally.running, "ready",
        tally.ready, "pending", tally.pending, "waiting", tally.waiting, "succeeded", tally.succeeded, "failed",
        tally.failed, "restarts", group.restarts);
  }

  private static String serviceState(Group group) {
    InstanceCounts tally = group.tally();
    if (!group.released) {
      return "WAITING";
    }
    if (tally.members > 0 && tally.succeeded == tally.members) {
      return "SUCCEEDED";
    }
    if (tally.members > 0 && tally.live == 0 && tally.failed > 0) {
      return "FAILED";
    }
    return tally.ready + tally.succeeded >= tally.members ? "READY" : "STARTING";
  }

  /** The reply to GET containers. */
  Map<String, Object> containers() {
    List<Object> list = new ArrayList<>();
    for (Container container : context.roster.all()) {
      list.add(container.shown());
    }
    return Json.map("containers", list);
  }

  /** What the page for people shows: of very many containers the first ones, and the newest events. */
  Map<String, Object> page(Pages pages, long now) {
    List<Object> list = new ArrayList<>();
    List<Container> all = context.roster.all();
    for (Container container : all.subList(0, Math.min(all.size(), MAX_ON_PAGE))) {
      list.add(container.shown());
    }
    long newest = context.log.number();
    return Json.map("now", now, "application", application(pages), "containers", list, "more",
        all.size() - list.size(), "events", context.log.after(Math.max(0, newest - EVENTS_ON_PAGE), EVENTS_ON_PAGE));
  }

  /** The reply to GET result. */
  Map<String, Object> results() {
    return Json.map("results", context.results.copy());
  }

  /** The reply to GET events. */
  Map<String, Object> events(long after, int most) {
    List<Map<String, Object>> found = context.log.after(after, most);
    long next = found.isEmpty() ? after : ((Number) found.get(found.size() - 1).get("seq")).longValue();
    return Json.map("events", found, "next", next, "firstKept", context.log.firstKept());
  }

  /** result.json. */
  Map<String, Object> result(Outcome outcome, Integer exitCode, String diagnostics, long finishedAt) {
    Map<String, Object> services = new LinkedHashMap<>();
    for (Group group : context.roster.groups()) {
      InstanceCounts tally = group.tally();
      services.put(group.spec.name, Json.map("instances", tally.members, "succeeded", tally.succeeded, "failed",
          tally.failed, "killed", group.killed, "restarts", group.restarts));
    }
    List<Object> list = new ArrayList<>();
    int failures = 0;
    for (Container container : context.roster.all()) {
      boolean failed = container.state() == ContainerState.FAILED && ++failures <= MAX_STDERR_FAILURES;
      list.add((Json.Lazy) () -> {
        Map<String, Object> view = container.view();
        view.put("stderr", failed ? container.stderr() : Collections.emptyList());
        return view;
      });
    }
    Identity identity = context.identity;
    return Json.map("format", 2, "id", identity.application, "name", context.spec.name, "user", identity.user, "outcome",
        outcome.name(), "exitCode", exitCode, "diagnostics", diagnostics, "attempt", identity.attempt, "startedAt",
        context.ending.startedAt(), "finishedAt", finishedAt, "progress", outcome == Outcome.SUCCEEDED ? 1.0 : progress(),
        "services", services, "containers", list, "results", context.results.copy(), "timeline", context.log.timeline());
  }
}
