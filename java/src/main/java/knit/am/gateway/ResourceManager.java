package knit.am.gateway;

import java.io.IOException;
import java.util.List;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;

/** What we need of the ResourceManager. Requests only note what is wanted; {@link #heartbeat} carries it over. */
public interface ResourceManager {
  /**
   * Make ourselves known.
   *
   * @return the containers an earlier attempt left
   */
  List<Grant> register(String host, int port, String trackingUrl) throws IOException;

  /**
   * @param hosts the only ones that will do, null for what the service says
   */
  void request(long request, Spec.Service service, List<String> hosts);

  void cancel(long request);

  void release(String yarn);

  /** Want nothing on a host, or want it again. */
  void avoid(String host, boolean avoid);

  /** The hosts of the nodes that run now. Blocks. */
  List<String> hosts() throws IOException;

  /** Move the application to another queue, or give it another priority. Blocks. */
  void administer(boolean queue, String value) throws IOException;

  /**
   * Tell what is wanted and hear what happened.
   *
   * @return events, without blocking for them to happen
   * @throws Gone if the ResourceManager does not want this attempt any more
   * @throws Rejected if it answers that it will not have what it is told
   */
  List<Event> heartbeat(double progress) throws IOException;

  /** Milliseconds without a heartbeat after which it starts the next attempt. */
  long expiry();

  void unregister(Outcome outcome, String diagnostics) throws IOException;

  /** The ResourceManager was reached, and refused. */
  final class Rejected extends IOException {
    private static final long serialVersionUID = 1L;
    /** Whether it knows this attempt; one that it does not let in may be over for it, and another one begun. */
    public final boolean known;

    public Rejected(Throwable cause, boolean known) {
      super(cause);
      this.known = known;
    }
  }

  /** This attempt is over for the ResourceManager: nothing is left to say to it. */
  final class Gone extends IOException {
    private static final long serialVersionUID = 1L;

    public Gone(String message, Throwable cause) {
      super(message, cause);
    }
  }
}
