package knit.am.gateway;

import knit.am.core.Spec;

/** Looks whether a container is ready. */
public interface Probes {
  /** One look, which blocks for the readiness's time-out at most. */
  boolean ready(String host, Spec.Readiness readiness);
}
