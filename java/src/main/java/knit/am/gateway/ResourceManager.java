package knit.am.gateway;

import java.io.IOException;
import java.util.List;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;

/** The ResourceManager. Requests are collected; {@link #heartbeat} sends them. */
public interface ResourceManager {
  /**
   * Register this attempt.
   *
   * @return the running containers of earlier attempts
   */
  List<Grant> register(String host, int port, String trackingUrl) throws IOException;

  /**
   * @param hosts the only allowed hosts; null for those of the service
   */
  void request(long request, Spec.Service service, List<String> hosts);

  void cancel(long request);

  void release(String yarn);

  /** Allocate no containers on a host, or allow them again. */
  void avoid(String host, boolean avoid);

  /** The hosts of the nodes that run now. Blocks. */
  List<String> hosts() throws IOException;

  /** Move the application to another queue, or give it another priority. Blocks. */
  void administer(boolean queue, String value) throws IOException;

  /**
   * Send the collected requests and get the news. Does not wait for news.
   *
   * @throws Gone if the ResourceManager has ended this attempt
   * @throws Rejected if it refuses the heartbeat
   */
  List<Event> heartbeat(double progress) throws IOException;

  /** Milliseconds without a heartbeat after which it starts the next attempt. */
  long expiry();

  void unregister(Outcome outcome, String diagnostics) throws IOException;

  /** The ResourceManager has refused a heartbeat. */
  final class Rejected extends IOException {
    private static final long serialVersionUID = 1L;
    /** Whether it knows this attempt. If not, another attempt may have begun. */
    public final boolean known;

    public Rejected(Throwable cause, boolean known) {
      super(cause);
      this.known = known;
    }
  }

  /** The ResourceManager has ended this attempt. */
  final class Gone extends IOException {
    private static final long serialVersionUID = 1L;

    public Gone(String message, Throwable cause) {
      super(message, cause);
    }
  }
}
