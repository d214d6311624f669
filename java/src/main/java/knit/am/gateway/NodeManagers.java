package knit.am.gateway;

import java.io.IOException;
import java.util.Map;
import knit.am.core.model.Spec;

/** Starts and stops containers. Each call blocks until the NodeManager has answered, or for a limited time. */
public interface NodeManagers {
  /** The NodeManager does not answer. */
  final class Unreachable extends IOException {
    private static final long serialVersionUID = 1L;

    public Unreachable(Throwable cause) {
      super(cause);
    }
  }

  /**
   * Start a container, unless it runs already.
   *
   * @param yarn YARN's id of the container
   * @param environment variables of the container besides those of the service
   * @throws Unreachable if the NodeManager does not answer; it may have started the container
   */
  void start(String yarn, Spec.Service service, Map<String, String> environment) throws IOException;

  /** Send a container SIGTERM. */
  void signal(String yarn) throws IOException;

  void stop(String yarn) throws IOException;
}
