package knit.am.core;

/** How many members of a service stand where; those that are leaving are not counted, but live ones are in `live`. */
final class InstanceCounts {
  int members;
  int waiting;
  /** Asked for, held or starting. */
  int pending;
  int held;
  int running;
  int ready;
  int stopping;
  int succeeded;
  int failed;
  /** Members or not. */
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

  /** Of all members; the sum drifts by rounding, never by more than anybody sees. */
  double progress() {
    return Math.max(0, progress);
  }
}
