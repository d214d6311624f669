package knit.am.gateway;

import java.util.function.Consumer;
import knit.am.core.model.Spec;

/** Probes whether containers are ready. */
public interface Probes {
  /**
   * Make one probe. Does not block.
   *
   * @param result gets whether the container is ready, at most the readiness check's time-out after the probe began
   */
  void probe(String host, Spec.Readiness readiness, Consumer<Boolean> result);
}
