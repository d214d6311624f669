package knit.am.core.model;

/** How an application ended. */
public enum Outcome {
  SUCCEEDED,
  FAILED,
  KILLED
}
