package knit.am.core.message;

import java.util.List;
import java.util.Map;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;

/** Something to do. The reducer decides it, the event loop carries it out through the gateways. */
public abstract class Action {
  private Action() {}

  /** Ask the ResourceManager for one container. */
  public static final class Request extends Action {
    public final long request;
    public final Spec.Service service;
    /** The only allowed hosts; null for those of the service. */
    public final List<String> hosts;

    public Request(long request, Spec.Service service, List<String> hosts) {
      this.request = request;
      this.service = service;
      this.hosts = hosts;
    }
  }

  /** Cancel a request. */
  public static final class Cancel extends Action {
    public final long request;

    public Cancel(long request) {
      this.request = request;
    }
  }

  /** Give an allocated container back to the ResourceManager. */
  public static final class Release extends Action {
    public final String yarn;

    public Release(String yarn) {
      this.yarn = yarn;
    }
  }

  /** Start an instance in an allocated container. */
  public static final class Launch extends Action {
    public final String yarn;
    /** {@code host:port} of the NodeManager. */
    public final String node;
    public final Spec.Service service;
    /** The rank. */
    public final int instance;
    public final int attempt;
    /** How many instances the service has now. */
    public final int instances;

    public Launch(String yarn, String node, Spec.Service service, int instance, int attempt, int instances) {
      this.yarn = yarn;
      this.node = node;
      this.service = service;
      this.instance = instance;
      this.attempt = attempt;
      this.instances = instances;
    }

    /** The instance: {@code main_0}. */
    public String id() {
      return service.name + "_" + instance;
    }
  }

  /** Have the NodeManager send a container SIGTERM. */
  public static final class Signal extends Action {
    public final String yarn;
    /** {@code host:port} of the NodeManager. */
    public final String node;

    public Signal(String yarn, String node) {
      this.yarn = yarn;
      this.node = node;
    }
  }

  /** Probe whether a container is ready; {@link Event.Probed} follows. */
  public static final class Probe extends Action {
    public final String yarn;
    public final String host;
    public final Spec.Readiness readiness;

    public Probe(String yarn, String host, Spec.Readiness readiness) {
      this.yarn = yarn;
      this.host = host;
      this.readiness = readiness;
    }
  }

  /** Have the ResourceManager allocate no containers on a host, or allow them again. */
  public static final class Avoid extends Action {
    public final String host;
    public final boolean avoid;

    public Avoid(String host, boolean avoid) {
      this.host = host;
      this.avoid = avoid;
    }
  }

  /** Ask for the cluster's hosts; {@link Event.Nodes} follows. */
  public static final class AskNodes extends Action {
  }

  /** Have the ResourceManager change the application's queue or priority, and reply. */
  public static final class Administer extends Action {
    public final Object ticket;
    public final boolean queue;
    public final String value;

    public Administer(Call.Administer call) {
      ticket = call.ticket;
      queue = call.queue;
      value = call.value;
    }
  }

  /** Reply with the delegation tokens. With `renew` read newer ones first; {@link Event.TokensRead} follows. */
  public static final class Tokens extends Action {
    /** Null when no call asks for it. */
    public final Object ticket;
    public final boolean renew;

    public Tokens(Object ticket, boolean renew) {
      this.ticket = ticket;
      this.renew = renew;
    }
  }

  /** Read a container's logs from its NodeManager, and reply. */
  public static final class ReadLog extends Action {
    public final Call.ReadLog call;
    public final String yarn;
    /** {@code host:port} of the NodeManager's web server. */
    public final String nodeHttp;

    public ReadLog(Call.ReadLog call, String yarn, String nodeHttp) {
      this.call = call;
      this.yarn = yarn;
      this.nodeHttp = nodeHttp;
    }
  }

  /** Have the NodeManager end a container. */
  public static final class Stop extends Action {
    public final String yarn;
    /** {@code host:port} of the NodeManager. */
    public final String node;

    public Stop(String yarn, String node) {
      this.yarn = yarn;
      this.node = node;
    }
  }

  /** Reply to a call. */
  public static final class Answer extends Action {
    public final Object ticket;
    public final int status;
    public final Map<String, Object> body;

    public Answer(Object ticket, int status, Map<String, Object> body) {
      this.ticket = ticket;
      this.status = status;
      this.body = body;
    }
  }

  /** Write result.json; {@link Event.ResultWritten} follows. */
  public static final class WriteResult extends Action {
    public final Map<String, Object> result;

    public WriteResult(Map<String, Object> result) {
      this.result = result;
    }
  }

  /** Unregister from the ResourceManager; {@link Event.Unregistered} follows. */
  public static final class Unregister extends Action {
    public final Outcome outcome;
    public final String diagnostics;

    public Unregister(Outcome outcome, String diagnostics) {
      this.outcome = outcome;
      this.diagnostics = diagnostics;
    }
  }

  /** End the process. */
  public static final class Exit extends Action {
    public final int code;

    public Exit(int code) {
      this.code = code;
    }
  }
}
