package knit.am.gateway;

import java.io.IOException;
import java.util.Map;
import knit.am.core.Container;
import knit.am.core.Spec;

/** Starts and stops containers on their nodes. Calls block until the NodeManager has answered, or for a bounded time. */
public interface NodeManagers {
  /** The NodeManager does not answer. */
  final class Unreachable extends IOException {
    private static final long serialVersionUID = 1L;

    public Unreachable(Throwable cause) {
      super(cause);
    }
  }

  /**
   * Start a container; one that runs already is left as it is.
   *
   * @param environment variables of the container besides the service's own
   * @throws Unreachable if its node does not answer; the container may have been started all the same
   */
  void start(Container container, Spec.Service service, Map<String, String> environment) throws IOException;

  /** Send it SIGTERM. */
  void signal(String yarn) throws IOException;

  void stop(String yarn) throws IOException;
}
