package knit.am.util;

import java.util.function.LongSupplier;

/**
 * The wall clock's time at the start, plus the time that has passed since. Setting the machine's clock moves no alarm.
 */
public final class SteadyClock implements Clock {
  private final LongSupplier nanoseconds;
  private final long offset;

  public SteadyClock() {
    this(System::currentTimeMillis, System::nanoTime);
  }

  /** For tests. */
  public SteadyClock(LongSupplier wall, LongSupplier nanoseconds) {
    this.nanoseconds = nanoseconds;
    offset = wall.getAsLong() - nanoseconds.getAsLong() / 1_000_000;
  }

  @Override
  public long now() {
    return offset + nanoseconds.getAsLong() / 1_000_000;
  }
}
