package knit.am.util;

/** A clock that stands still until it is moved. */
public final class ManualClock implements Clock {
  private volatile long now = 1_700_000_000_000L;

  @Override
  public long now() {
    return now;
  }

  public void advance(long milliseconds) {
    now += milliseconds;
  }
}
