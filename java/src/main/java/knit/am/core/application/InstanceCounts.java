package knit.am.core.application;

/** How many instances of a service are in which state. Instances that are leaving count in `live` only. */
final class InstanceCounts {
  int members;
  int waiting;
  /** Requested, held or starting. */
  int pending;
  int held;
  int running;
  int ready;
  int stopping;
  int succeeded;
  int failed;
  /** Leaving ones too. */
  int live;
  private double progress;

  void count(Container container, int sign) {
    if (container == null) {
      return;
    }
    live += container.live() ? sign : 0;
    if (container.isLeaving()) {
      return;
    }
    members += sign;
    progress += container.progress() == null ? 0 : sign * container.progress();
    ready += container.isReady() ? sign : 0;
    switch (container.state()) {
      case WAITING:
        waiting += sign;
        break;
      case HELD:
        held += sign;
        pending += sign;
        break;
      case REQUESTED:
      case STARTING:
        pending += sign;
        break;
      case RUNNING:
        running += sign;
        break;
      case STOPPING:
        stopping += sign;
        break;
      case SUCCEEDED:
        succeeded += sign;
        break;
      case FAILED:
        failed += sign;
        break;
      default:
        break;
    }
  }

  /** The sum over all members. Its rounding errors are too small to be visible. */
  double progress() {
    return Math.max(0, progress);
  }
}
