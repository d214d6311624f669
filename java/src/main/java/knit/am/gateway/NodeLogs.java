package knit.am.gateway;

import java.io.IOException;
import java.util.Map;

/** Reads containers' log files from their NodeManagers. Each call blocks for a limited time. */
public interface NodeLogs {
  /** Why logs could not be read. */
  final class Failure extends IOException {
    private static final long serialVersionUID = 1L;

    /** The NodeManager does not answer. */
    public static final String UNREACHABLE = "node-unreachable";
    /** The NodeManager has refused, or its reply cannot be used. */
    public static final String REFUSED = "node-refused";
    /** The NodeManager does not have the container's logs. */
    public static final String NO_LOGS = "no-logs";

    /** The error's code in the API's reply. */
    public final String code;

    public Failure(String code, String message) {
      super(message);
      this.code = code;
    }
  }

  /**
   * The reply to GET containers/…/logs.
   *
   * @param node {@code host:port} of the NodeManager's web server
   * @param yarn YARN's id of the container
   */
  Map<String, Object> list(String node, String yarn) throws Failure;

  /**
   * The reply to GET containers/…/logs/….
   *
   * @param file the file's name
   * @param offset of the first byte
   * @param size of the file as far as it is known
   * @param limit most bytes
   */
  Map<String, Object> read(String node, String yarn, String file, long offset, long size, int limit) throws Failure;
}
