package knit.am.core;

/** Where one attempt of an instance stands. */
public enum ContainerState {
  /** Nothing is asked of YARN yet: its service waits for others, or its restart for its back-off. */
  WAITING,
  REQUESTED,
  /** Given, and held back until the whole gang is there. */
  HELD,
  STARTING,
  RUNNING,
  STOPPING,
  SUCCEEDED,
  FAILED,
  KILLED;

  public boolean ended() {
    return this == SUCCEEDED || this == FAILED || this == KILLED;
  }

  /** Whether its process may be there. */
  boolean begun() {
    return this == STARTING || this == RUNNING || this == STOPPING;
  }
}
