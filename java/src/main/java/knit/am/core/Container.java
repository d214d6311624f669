package knit.am.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import knit.am.json.Fields;
import knit.am.json.Json;

/** One attempt of one instance of a service. Immutable, so that whoever got one can keep it. */
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
  private boolean condemned;
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
    copy.condemned = condemned;
    copy.notBefore = notBefore;
    change.accept(copy);
    return copy;
  }

  /** Not to be asked for before that time. */
  Container delayed(long until) {
    return with(c -> c.notBefore = until);
  }

  /** Nothing is asked of YARN for it just now. */
  Container waiting() {
    return with(c -> {
      c.state = ContainerState.WAITING;
      c.request = 0;
    });
  }

  /** The ResourceManager refuses its request: not to be asked for before that time. */
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

  private Container given(ContainerState next, Event.Grant grant) {
    return with(c -> {
      c.state = next;
      c.diagnostics = "";
      c.yarn = grant.yarn;
      c.node = grant.node;
      c.nodeHttp = grant.nodeHttp;
    });
  }

  Container held(Event.Grant grant) {
    return given(ContainerState.HELD, grant);
  }

  Container starting(Event.Grant grant) {
    return given(ContainerState.STARTING, grant);
  }

  /** The gang is complete. */
  Container released() {
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

  /** On its way out because of us, not by itself. */
  Container stopping(String why) {
    return with(c -> {
      c.state = ContainerState.STOPPING;
      c.diagnostics = why;
    });
  }

  /** Being ended counts as its failure. */
  Container condemned() {
    return with(c -> c.condemned = true);
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

  /** YARN has said that it is going to take it away. */
  Container preempting() {
    return with(c -> c.preempting = true);
  }

  /** On its way out, but its rank is wanted again: another attempt follows its end. */
  Container wantedAgain() {
    return with(c -> {
      c.leaving = false;
      c.again = true;
    });
  }

  /** Our name: {@code main_0}. */
  public String id() {
    return service + "_" + instance;
  }

  /** Tells attempts apart, too: {@code main_0/2}. */
  String key() {
    return id() + "/" + attempt;
  }

  /** Identifies the request to YARN; never used twice. 0 before anything was asked for. */
  public long request() {
    return request;
  }

  public ContainerState state() {
    return state;
  }

  public boolean live() {
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

  public boolean isReady() {
    return ready;
  }

  boolean isCondemned() {
    return condemned;
  }

  long notBefore() {
    return notBefore;
  }

  /** YARN's id, null before one was allocated. */
  public String yarn() {
    return yarn;
  }

  /** {@code host:port} of its NodeManager. */
  public String node() {
    return node;
  }

  /** Host of its node, null before it has one. */
  public String host() {
    return node == null ? null : node.substring(0, node.lastIndexOf(':'));
  }

  public String nodeHttp() {
    return nodeHttp;
  }

  public Integer exitCode() {
    return exitCode;
  }

  public Long startedAt() {
    return startedAt;
  }

  public Long finishedAt() {
    return finishedAt;
  }

  /** 0 to 1, null when nothing was reported. */
  public Double progress() {
    return progress;
  }

  public Map<String, Object> metrics() {
    return metrics;
  }

  public String diagnostics() {
    return diagnostics;
  }

  public List<String> stderr() {
    return stderr;
  }

  /** As the API shows it, written once: clients ask for all containers again and again, of which few have changed. */
  Json.Raw shown() {
    if (shown == null) {
      shown = new Json.Raw(view());
    }
    return shown;
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

  /** As the journal keeps it: all there is. */
  Map<String, Object> record(boolean past) {
    Map<String, Object> record = view();
    record.put("metrics", metrics);
    record.put("stderr", stderr);
    record.put("request", request);
    record.put("leaving", leaving);
    record.put("again", again);
    record.put("preempting", preempting);
    record.put("condemned", condemned);
    record.put("notBefore", notBefore);
    record.put("past", past);
    return record;
  }

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
    container.condemned = fields.flag("condemned");
    container.notBefore = fields.whole("notBefore", 0, Long.MAX_VALUE);
    return container;
  }
}
