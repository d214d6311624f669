package knit.am.core;

/** How an application ended. */
public enum Outcome {
  SUCCEEDED,
  FAILED,
  KILLED
}
