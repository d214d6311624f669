package knit.am.core.model;

/** The state of one attempt of an instance. */
public enum ContainerState {
  /** Without a request: its service waits for others, or its restart for the end of its pause. */
  WAITING,
  REQUESTED,
  /** Allocated; it starts when its whole gang is allocated. */
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

  /** Whether its process may exist. */
  public boolean begun() {
    return this == STARTING || this == RUNNING || this == STOPPING;
  }
}
