package knit.am.util;

/** The time, so that tests can set it. */
public interface Clock {
  /** Milliseconds since the epoch. */
  long now();
}
