package knit.am.core;

import java.util.List;
import java.util.Map;

/** Something to do, decided by the reducer and carried out by the gateways. */
public abstract class Action {
  private Action() {}

  /** Ask the ResourceManager for one container. */
  public static final class Request extends Action {
    public final long request;
    public final Spec.Service service;
    /** The only ones that will do, null for what the service says. */
    public final List<String> hosts;

    Request(long request, Spec.Service service, List<String> hosts) {
      this.request = request;
      this.service = service;
      this.hosts = hosts;
    }
  }

  /** Take a request back. */
  public static final class Cancel extends Action {
    public final long request;

    Cancel(long request) {
      this.request = request;
    }
  }

  /** Give an allocated container back. */
  public static final class Release extends Action {
    public final String yarn;

    Release(String yarn) {
      this.yarn = yarn;
    }
  }

  /** Start an instance in an allocated container. */
  public static final class Launch extends Action {
    public final Container container;
    public final Spec.Service service;
    /** How many instances the service has now. */
    public final int instances;

    Launch(Container container, Spec.Service service, int instances) {
      this.container = container;
      this.service = service;
      this.instances = instances;
    }
  }

  /** Have a NodeManager send a container SIGTERM. */
  public static final class Signal extends Action {
    public final String yarn;
    /** Whose NodeManager, host:port. */
    public final String node;

    Signal(Container container) {
      yarn = container.yarn();
      node = container.node();
    }
  }

  /** See whether a container is ready; {@link Event.Probed} follows. */
  public static final class Probe extends Action {
    public final String yarn;
    public final String host;
    public final Spec.Readiness readiness;

    Probe(String yarn, String host, Spec.Readiness readiness) {
      this.yarn = yarn;
      this.host = host;
      this.readiness = readiness;
    }
  }

  /** Tell the ResourceManager that we want nothing on a host, or that we do again. */
  public static final class Avoid extends Action {
    public final String host;
    public final boolean avoid;

    Avoid(String host, boolean avoid) {
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

    Administer(Event.Administer call) {
      ticket = call.ticket;
      queue = call.queue;
      value = call.value;
    }
  }

  /** Have a NodeManager end a container. */
  public static final class Stop extends Action {
    public final String yarn;
    /** Whose NodeManager, host:port. */
    public final String node;

    Stop(Container container) {
      yarn = container.yarn();
      node = container.node();
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

    WriteResult(Map<String, Object> result) {
      this.result = result;
    }
  }

  /** Take leave of the ResourceManager; {@link Event.Unregistered} follows. */
  public static final class Unregister extends Action {
    public final Outcome outcome;
    public final String diagnostics;

    Unregister(Outcome outcome, String diagnostics) {
      this.outcome = outcome;
      this.diagnostics = diagnostics;
    }
  }

  /** End the process. */
  public static final class Exit extends Action {
    public final int code;

    Exit(int code) {
      this.code = code;
    }
  }
}
