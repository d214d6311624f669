package knit.am.util;

/** The time. Tests replace it. */
public interface Clock {
  /** Milliseconds since the epoch. */
  long now();
}
