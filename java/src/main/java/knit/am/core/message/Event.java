package knit.am.core.message;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import knit.am.core.model.Grant;

/** Something that happened. An event carries everything that the reducer needs, the time too. Calls over HTTP are {@link Call}s. */
public abstract class Event {
  /** Milliseconds since the epoch. */
  public final long at;

  Event(long at) {
    this.at = at;
  }

  /** The ApplicationMaster has started. */
  public static final class Started extends Event {
    public Started(long at) {
      super(at);
    }
  }

  /** The attempt is registered. The ResourceManager names the running containers of earlier attempts. */
  public static final class Registered extends Event {
    public final List<Grant> previous;

    public Registered(long at, List<Grant> previous) {
      super(at);
      this.previous = previous;
    }
  }

  /** The ResourceManager has restarted and names more running containers of earlier attempts. */
  public static final class Recovered extends Event {
    public final List<Grant> previous;

    public Recovered(long at, List<Grant> previous) {
      super(at);
      this.previous = previous;
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

  /** The ResourceManager has refused requests, and does not keep them. */
  public static final class RequestsRefused extends Event {
    public final List<Long> requests;
    public final String message;

    public RequestsRefused(long at, List<Long> requests, String message) {
      super(at);
      this.requests = requests;
      this.message = message;
    }
  }

  /** YARN is going to preempt containers. */
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

  /** A NodeManager refused to start a container, or could not be reached. */
  public static final class LaunchFailed extends Event {
    public final String yarn;
    public final String message;
    /** Whether the NodeManager did not answer. It may be restarting. */
    public final boolean unreachable;

    public LaunchFailed(long at, String yarn, String message, boolean unreachable) {
      super(at);
      this.yarn = yarn;
      this.message = message;
      this.unreachable = unreachable;
    }
  }

  /** A container has ended. */
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
    /** Why the nodes cannot be read now, null if they can. */
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

  /** The result of a readiness probe. */
  public static final class Probed extends Event {
    public final String yarn;
    public final boolean good;

    public Probed(long at, String yarn, boolean good) {
      super(at);
      this.yarn = yarn;
      this.good = good;
    }
  }

  /** A request can never be fulfilled. */
  public static final class Refused extends Event {
    public final String message;

    public Refused(long at, String message) {
      super(at);
      this.message = message;
    }
  }

  /** Newer delegation tokens were read, or there are none, or they cannot be read. */
  public static final class TokensRead extends Event {
    /** How many were newer. */
    public final int newer;
    /** Why they cannot be read, null if they can. */
    public final String problem;

    public TokensRead(long at, int newer, String problem) {
      super(at);
      this.newer = newer;
      this.problem = problem;
    }
  }

  /** Time has passed. */
  public static final class Tick extends Event {
    public Tick(long at) {
      super(at);
    }
  }

  /** This attempt is over: the ResourceManager does not know it any more, or a later attempt has begun. */
  public static final class Disowned extends Event {
    public Disowned(long at) {
      super(at);
    }
  }

  /** The process got SIGTERM: it has milliseconds left. */
  public static final class Terminated extends Event {
    public Terminated(long at) {
      super(at);
    }
  }

  /** The result is written, or could not be written in time. */
  public static final class ResultWritten extends Event {
    public final String problem;

    /** @param problem why it was not written; null if it was */
    public ResultWritten(long at, String problem) {
      super(at);
      this.problem = problem;
    }
  }

  /** The attempt is unregistered, or could not be. */
  public static final class Unregistered extends Event {
    public Unregistered(long at) {
      super(at);
    }
  }
}
