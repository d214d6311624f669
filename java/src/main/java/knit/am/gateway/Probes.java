package knit.am.gateway;

import java.util.function.Consumer;
import knit.am.core.Spec;

/** Looks whether a container is ready. */
public interface Probes {
  /**
   * One look. The caller is not blocked.
   *
   * @param answer told whether it is ready, once, at most the readiness's time-out after the look began
   */
  void look(String host, Spec.Readiness readiness, Consumer<Boolean> answer);
}
