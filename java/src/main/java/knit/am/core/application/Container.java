package knit.am.core.application;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import knit.am.core.message.Action;
import knit.am.core.model.ContainerState;
import knit.am.core.model.Exits;
import knit.am.core.model.Grant;
import knit.am.core.model.Spec;
import knit.am.json.Fields;
import knit.am.json.Json;

/** One attempt of one instance of a service. Immutable. */
public final class Container {
  public final String service;
  /** The rank, from 0. */
  public final int instance;
  /** From 1. */
  public final int attempt;

  private long request;
  private Long requestedAt;
  private ContainerState state = ContainerState.WAITING;
  private String yarn;
  private String node;
  private String nodeHttp;
  private Integer exitCode;
  private Long startedAt;
  private Long finishedAt;
  private Double progress;
  private Map<String, Object> metrics = Collections.emptyMap();
  private String diagnostics = "";
  private List<String> stderr = Collections.emptyList();
  private boolean leaving;
  private boolean again;
  private boolean preempting;
  private boolean ready;
  private boolean unready;
  private long notBefore;
  private Json.Raw shown;

  Container(String service, int instance, int attempt) {
    this.service = service;
    this.instance = instance;
    this.attempt = attempt;
  }

  /** A copy with some fields changed. */
  private Container with(Consumer<Container> change) {
    Container copy = new Container(service, instance, attempt);
    copy.request = request;
    copy.requestedAt = requestedAt;
    copy.state = state;
    copy.yarn = yarn;
    copy.node = node;
    copy.nodeHttp = nodeHttp;
    copy.exitCode = exitCode;
    copy.startedAt = startedAt;
    copy.finishedAt = finishedAt;
    copy.progress = progress;
    copy.metrics = metrics;
    copy.diagnostics = diagnostics;
    copy.stderr = stderr;
    copy.leaving = leaving;
    copy.again = again;
    copy.preempting = preempting;
    copy.ready = ready;
    copy.unready = unready;
    copy.notBefore = notBefore;
    change.accept(copy);
    return copy;
  }

  /** Not to be requested before that time. */
  Container delayed(long until) {
    return with(c -> c.notBefore = until);
  }

  /** Without a request. */
  Container waiting() {
    return with(c -> {
      c.state = ContainerState.WAITING;
      c.request = 0;
    });
  }

  /** Its request was refused; not to be requested again before that time. */
  Container refused(String why, long until) {
    return with(c -> {
      c.state = ContainerState.WAITING;
      c.request = 0;
      c.notBefore = until;
      c.diagnostics = why;
    });
  }

  Container requested(long number, long at) {
    return with(c -> {
      c.state = ContainerState.REQUESTED;
      c.request = number;
      c.requestedAt = c.requestedAt == null ? at : c.requestedAt;
      c.yarn = null;
      c.node = null;
      c.nodeHttp = null;
    });
  }

  private Container allocated(ContainerState next, Grant grant) {
    return with(c -> {
      c.state = next;
      c.diagnostics = "";
      c.yarn = grant.yarn;
      c.node = grant.node;
      c.nodeHttp = grant.nodeHttp;
    });
  }

  Container held(Grant grant) {
    return allocated(ContainerState.HELD, grant);
  }

  Container starting(Grant grant) {
    return allocated(ContainerState.STARTING, grant);
  }

  /** Its gang is complete. */
  Container starting() {
    return with(c -> c.state = ContainerState.STARTING);
  }

  Container running(long at, boolean isReady) {
    return with(c -> {
      c.state = ContainerState.RUNNING;
      c.startedAt = at;
      c.ready = isReady;
    });
  }

  Container ready() {
    return with(c -> c.ready = true);
  }

  /** The ApplicationMaster stops it. */
  Container stopping(String why) {
    return with(c -> {
      c.state = ContainerState.STOPPING;
      c.diagnostics = why;
    });
  }

  /** It was not ready in time: its stop counts as a failure. */
  Container unready() {
    return with(c -> c.unready = true);
  }

  Container ended(ContainerState end, long at, Integer exit, String why, List<String> lastLines) {
    return with(c -> {
      c.state = end;
      c.finishedAt = at;
      c.exitCode = exit;
      c.diagnostics = why;
      c.stderr = lastLines;
      c.ready = false;
      if (end == ContainerState.SUCCEEDED) {
        c.progress = 1.0;
      }
    });
  }

  Container reported(double done, Map<String, Object> values) {
    return with(c -> {
      c.progress = done;
      c.metrics = values;
    });
  }

  /** No longer counted by its service. */
  Container leaving() {
    return with(c -> {
      c.leaving = true;
      c.again = false;
    });
  }

  /** YARN has announced its preemption. */
  Container preempting() {
    return with(c -> c.preempting = true);
  }

  /** It is being stopped, but another attempt of its rank is to follow. */
  Container wantedAgain() {
    return with(c -> {
      c.leaving = false;
      c.again = true;
    });
  }

  /** The instance: {@code main_0}. */
  public String id() {
    return service + "_" + instance;
  }

  /** The attempt: {@code main_0/2}. */
  String key() {
    return id() + "/" + attempt;
  }

  /** The number of its request, which is unique; 0 before the first request. */
  long request() {
    return request;
  }

  ContainerState state() {
    return state;
  }

  boolean live() {
    return !state.ended();
  }

  public boolean isLeaving() {
    return leaving;
  }

  boolean isPreempting() {
    return preempting;
  }

  boolean isWantedAgain() {
    return again;
  }

  boolean isReady() {
    return ready;
  }

  boolean isUnready() {
    return unready;
  }

  long notBefore() {
    return notBefore;
  }

  /** YARN's id, null before it is allocated. */
  String yarn() {
    return yarn;
  }

  /** {@code host:port} of its NodeManager. */
  String node() {
    return node;
  }

  /** {@code host:port} of the web server of its NodeManager, null before it has one. */
  String nodeHttp() {
    return nodeHttp;
  }

  /** Host of its node, null before it has one. */
  public String host() {
    return node == null ? null : node.substring(0, node.lastIndexOf(':'));
  }

  Integer exitCode() {
    return exitCode;
  }

  Long startedAt() {
    return startedAt;
  }

  Long finishedAt() {
    return finishedAt;
  }

  /** 0 to 1; null before the first report. */
  Double progress() {
    return progress;
  }

  String diagnostics() {
    return diagnostics;
  }

  List<String> stderr() {
    return stderr;
  }

  /** As the API shows it, as text. It is kept, because clients read all containers repeatedly and few of them change. */
  Json.Raw shown() {
    if (shown == null) {
      shown = new Json.Raw(view());
    }
    return shown;
  }

  /** The action that starts it. */
  Action launch(Spec.Service spec, int instances) {
    return new Action.Launch(yarn, node, spec, instance, attempt, instances);
  }

  /** One line about its failure: the newest lines of stderr first. */
  String failure() {
    StringBuilder line = new StringBuilder(id());
    line.append(" (").append(yarn).append(" on ").append(node == null ? "no node" : host()).append(") ");
    line.append(diagnostics);
    for (int i = stderr.size() - 1; i >= 0 && line.length() < Exits.MAX_DIAGNOSTICS; i--) {
      line.append(" | ").append(stderr.get(i));
    }
    return Exits.clip(line.toString());
  }

  /** As the API shows it. */
  Map<String, Object> view() {
    Map<String, Object> view = Json.map("id", id(), "service", service, "instance", instance, "attempt", attempt, "state",
        state.name(), "ready", ready, "yarn", yarn, "node", node, "nodeHttp", nodeHttp, "exitCode", exitCode,
        "requestedAt", requestedAt, "startedAt", startedAt, "finishedAt", finishedAt, "progress", progress, "diagnostics",
        diagnostics);
    if (!metrics.isEmpty()) {
      view.put("metrics", metrics);
    }
    return view;
  }

  /**
   * The journal's record, with all fields.
   *
   * @param past whether it has no place in its service any more
   */
  Map<String, Object> record(boolean past) {
    Map<String, Object> record = view();
    record.put("metrics", metrics);
    record.put("stderr", stderr);
    record.put("request", request);
    record.put("leaving", leaving);
    record.put("again", again);
    record.put("preempting", preempting);
    record.put("condemned", unready);
    record.put("notBefore", notBefore);
    record.put("past", past);
    return record;
  }

  /** From the journal's record. */
  static Container of(Fields fields) {
    Container container =
        new Container(fields.text("service"), fields.integer("instance"), fields.integer("attempt"));
    container.state = ContainerState.valueOf(fields.text("state"));
    container.ready = fields.flag("ready");
    container.yarn = (String) fields.any("yarn");
    container.node = (String) fields.any("node");
    container.nodeHttp = (String) fields.any("nodeHttp");
    Long exit = (Long) fields.any("exitCode");
    container.exitCode = exit == null ? null : exit.intValue();
    container.requestedAt = (Long) fields.any("requestedAt");
    container.startedAt = (Long) fields.any("startedAt");
    container.finishedAt = (Long) fields.any("finishedAt");
    Number done = (Number) fields.any("progress");
    container.progress = done == null ? null : done.doubleValue();
    container.metrics = fields.map("metrics");
    container.diagnostics = fields.text("diagnostics");
    container.stderr = new ArrayList<>(fields.texts("stderr"));
    container.request = fields.whole("request", 0, Long.MAX_VALUE);
    container.leaving = fields.flag("leaving");
    container.again = fields.flag("again");
    container.preempting = fields.flag("preempting");
    container.unready = fields.flag("condemned");
    container.notBefore = fields.whole("notBefore", 0, Long.MAX_VALUE);
    return container;
  }
}
