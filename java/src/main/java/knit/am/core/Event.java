package knit.am.core;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import knit.am.json.Json;

/** Something that happened. Events carry everything the reducer needs, the time included. */
public abstract class Event {
  /** Milliseconds since the epoch. */
  public final long at;

  private Event(long at) {
    this.at = at;
  }

  /** The ApplicationMaster began: containers can be asked for. */
  public static final class Started extends Event {
    public Started(long at) {
      super(at);
    }
  }

  /** The ResourceManager knows us; it names what an earlier attempt left running. */
  public static final class Registered extends Event {
    public final List<Grant> previous;

    public Registered(long at, List<Grant> previous) {
      super(at);
      this.previous = previous;
    }
  }

  /** The ResourceManager, having restarted, names more of what an earlier attempt left running. */
  public static final class Recovered extends Event {
    public final List<Grant> previous;

    public Recovered(long at, List<Grant> previous) {
      super(at);
      this.previous = previous;
    }
  }

  /** What YARN gave for one request. */
  public static final class Grant {
    public final String yarn;
    public final long request;
    /** {@code host:port} of the NodeManager. */
    public final String node;
    public final String nodeHttp;

    public Grant(String yarn, long request, String node, String nodeHttp) {
      this.yarn = yarn;
      this.request = request;
      this.node = node;
      this.nodeHttp = nodeHttp;
    }

    String host() {
      return node.substring(0, node.lastIndexOf(':'));
    }
  }

  /** YARN allocated containers. */
  public static final class Allocated extends Event {
    public final List<Grant> grants;

    public Allocated(long at, List<Grant> grants) {
      super(at);
      this.grants = grants;
    }
  }

  /** The ResourceManager will not have some requests as things are now; it has forgotten them. */
  public static final class RequestsRefused extends Event {
    public final List<Long> requests;
    public final String message;

    public RequestsRefused(long at, List<Long> requests, String message) {
      super(at);
      this.requests = requests;
      this.message = message;
    }
  }

  /** YARN is going to take containers away, to give their room to others. */
  public static final class Preempting extends Event {
    public final List<String> yarns;

    public Preempting(long at, List<String> yarns) {
      super(at);
      this.yarns = yarns;
    }
  }

  /** A NodeManager accepted a container. */
  public static final class Launched extends Event {
    public final String yarn;

    public Launched(long at, String yarn) {
      super(at);
      this.yarn = yarn;
    }
  }

  /** A NodeManager did not take a container, or could not be reached. */
  public static final class LaunchFailed extends Event {
    public final String yarn;
    public final String message;
    /** Whether its NodeManager did not answer at all: it may be restarting. */
    public final boolean unreachable;

    public LaunchFailed(long at, String yarn, String message, boolean unreachable) {
      super(at);
      this.yarn = yarn;
      this.message = message;
      this.unreachable = unreachable;
    }
  }

  /** A container is no more. */
  public static final class Completed extends Event {
    public final String yarn;
    public final int exit;
    public final String diagnostics;

    public Completed(long at, String yarn, int exit, String diagnostics) {
      super(at);
      this.yarn = yarn;
      this.exit = exit;
      this.diagnostics = diagnostics == null ? "" : diagnostics;
    }
  }

  /** How many nodes the cluster has now. */
  public static final class ClusterSize extends Event {
    public final int nodes;

    public ClusterSize(long at, int nodes) {
      super(at);
      this.nodes = nodes;
    }
  }

  /** The hosts of the cluster's nodes, as {@link Action.AskNodes} asked for. */
  public static final class Nodes extends Event {
    public final List<String> hosts;
    /** Why they cannot be had now, null if they can. */
    public final String problem;

    public Nodes(long at, List<String> hosts) {
      super(at);
      this.hosts = hosts;
      problem = hosts.isEmpty() ? "no node is running" : null;
    }

    public Nodes(long at, String problem) {
      super(at);
      hosts = Collections.emptyList();
      this.problem = problem;
    }
  }

  /** A look at whether a container is ready. */
  public static final class Probed extends Event {
    public final String yarn;
    public final boolean good;

    public Probed(long at, String yarn, boolean good) {
      super(at);
      this.yarn = yarn;
      this.good = good;
    }
  }

  /** The ResourceManager refused a request for good (it can never be fulfilled). */
  public static final class Refused extends Event {
    public final String message;

    public Refused(long at, String message) {
      super(at);
      this.message = message;
    }
  }

  /** Time passed. */
  public static final class Tick extends Event {
    public Tick(long at) {
      super(at);
    }
  }

  /** The ResourceManager does not know this attempt any more: another one, or nobody, goes on. */
  public static final class Disowned extends Event {
    public Disowned(long at) {
      super(at);
    }
  }

  /** The process is being ended from outside (SIGTERM): there are milliseconds left. */
  public static final class Terminated extends Event {
    public Terminated(long at) {
      super(at);
    }
  }

  /** The result is written, or nothing more will be tried. */
  public static final class ResultWritten extends Event {
    public final String problem;

    /** @param problem null when it was written, else why not */
    public ResultWritten(long at, String problem) {
      super(at);
      this.problem = problem;
    }
  }

  /** The ResourceManager has taken our leave. */
  public static final class Unregistered extends Event {
    public Unregistered(long at) {
      super(at);
    }
  }

  /** A call over HTTP; it is answered with {@link Action.Answer} carrying the same ticket. */
  public abstract static class Call extends Event {
    public final Object ticket;
    /** The container whose state or store the call changes; null for the client, and for calls that change nothing. */
    public final String yarn;
    /** Tells a repetition of the call; may be null. */
    public final String token;

    private Call(long at, Object ticket) {
      this(at, ticket, null, null);
    }

    private Call(long at, Object ticket, String yarn, String token) {
      super(at);
      this.ticket = ticket;
      this.yarn = yarn;
      this.token = token;
    }
  }

  /** What a reader wants to see. */
  public enum What {
    APPLICATION,
    CONTAINERS,
    RESULTS,
    /** All that the page for people shows. */
    PAGE
  }

  public static final class Read extends Call {
    public final What what;

    public Read(long at, Object ticket, What what) {
      super(at, ticket);
      this.what = what;
    }
  }

  public static final class ReadEvents extends Call {
    public final long after;
    public final int most;
    public final long deadline;

    /** @param deadline until when to wait for one */
    public ReadEvents(long at, Object ticket, long after, int most, long deadline) {
      super(at, ticket);
      this.after = after;
      this.most = most;
      this.deadline = deadline;
    }
  }

  /** A call that changes the application: a container may make it only if its service manages. */
  public abstract static class Managing extends Call {
    /** The container that calls, null for the client. */
    public final String caller;

    private Managing(long at, Object ticket, String caller, String token) {
      super(at, ticket, null, token);
      this.caller = caller;
    }
  }

  public static final class Scale extends Managing {
    public final String service;
    public final int instances;
    public final boolean relative;

    /**
     * @param relative whether it is a difference
     * @param token tells a repetition, may be null
     */
    public Scale(long at, Object ticket, String caller, String service, int instances, boolean relative, String token) {
      super(at, ticket, caller, token);
      this.service = service;
      this.instances = instances;
      this.relative = relative;
    }
  }

  public static final class Kill extends Managing {
    public final String container;

    /**
     * @param container our id or YARN's
     * @param token tells a repetition, may be null
     */
    public Kill(long at, Object ticket, String caller, String container, String token) {
      super(at, ticket, caller, token);
      this.container = container;
    }
  }

  /** Something that the ResourceManager does: another queue or priority. */
  public static final class Administer extends Managing {
    public final boolean queue;
    public final String value;

    public Administer(long at, Object ticket, String caller, boolean queue, String value) {
      super(at, ticket, caller, null);
      this.queue = queue;
      this.value = value;
    }
  }

  public static final class Progress extends Call {
    public final double progress;
    public final Map<String, Object> metrics;

    /** @param yarn the container that reports, null for the client */
    public Progress(long at, Object ticket, String yarn, double progress, Map<String, Object> metrics) {
      super(at, ticket, yarn, null);
      this.progress = progress;
      this.metrics = metrics;
    }
  }

  public static final class Ready extends Call {
    public Ready(long at, Object ticket, String yarn) {
      super(at, ticket, yarn, null);
    }
  }

  public static final class Returned extends Call {
    public final Json.Raw value;

    public Returned(long at, Object ticket, String yarn, Json.Raw value) {
      super(at, ticket, yarn, null);
      this.value = value;
    }
  }

  public static final class KvPut extends Call {
    public final String key;
    public final Json.Raw value;
    public final Long expect;

    /**
     * @param expect the revision it must have, 0 for none there, null for whatever
     * @param token tells a repetition, may be null
     */
    public KvPut(long at, Object ticket, String yarn, String key, Json.Raw value, Long expect, String token) {
      super(at, ticket, yarn, token);
      this.key = key;
      this.value = value;
      this.expect = expect;
    }
  }

  public static final class KvAppend extends Call {
    public final String prefix;
    public final Json.Raw value;

    public KvAppend(long at, Object ticket, String yarn, String prefix, Json.Raw value, String token) {
      super(at, ticket, yarn, token);
      this.prefix = prefix;
      this.value = value;
    }
  }

  public static final class KvDelete extends Call {
    public final String key;
    public final Long expect;

    public KvDelete(long at, Object ticket, String yarn, String key, Long expect, String token) {
      super(at, ticket, yarn, token);
      this.key = key;
      this.expect = expect;
    }
  }

  public static final class KvGet extends Call {
    public final String key;
    public final long after;
    public final long deadline;

    /** @param after only a newer revision than this */
    public KvGet(long at, Object ticket, String key, long after, long deadline) {
      super(at, ticket);
      this.key = key;
      this.after = after;
      this.deadline = deadline;
    }
  }

  public static final class KvList extends Call {
    public final String prefix;
    public final long after;
    public final boolean values;
    public final long deadline;

    /** @param after only what changed after this revision, waiting for it; -1 for all there is */
    public KvList(long at, Object ticket, String prefix, long after, boolean values, long deadline) {
      super(at, ticket);
      this.prefix = prefix;
      this.after = after;
      this.values = values;
      this.deadline = deadline;
    }
  }

  public static final class Arrive extends Call {
    public final String name;
    public final int parties;
    public final long deadline;

    /** @param parties how many must arrive, 0 for all instances of the service */
    public Arrive(long at, Object ticket, String yarn, String name, int parties, long deadline) {
      super(at, ticket, yarn, null);
      this.name = name;
      this.parties = parties;
      this.deadline = deadline;
    }
  }

  public static final class AddPage extends Call {
    public final String name;
    public final int port;
    public final String path;

    public AddPage(long at, Object ticket, String yarn, String name, int port, String path) {
      super(at, ticket, yarn, null);
      this.name = name;
      this.port = port;
      this.path = path;
    }
  }

  public static final class Shutdown extends Managing {
    public final Outcome outcome;
    public final String diagnostics;

    public Shutdown(long at, Object ticket, String caller, Outcome outcome, String diagnostics) {
      super(at, ticket, caller, null);
      this.outcome = outcome;
      this.diagnostics = diagnostics;
    }
  }
}
