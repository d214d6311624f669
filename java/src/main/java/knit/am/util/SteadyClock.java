package knit.am.util;

import java.util.function.LongSupplier;

/**
 * The wall clock's time at the start, and from then on time as it passes: who sets the machine's clock makes no alarm go off
 * early or late.
 */
public final class SteadyClock implements Clock {
  private final LongSupplier nanoseconds;
  private final long offset;

  public SteadyClock() {
    this(System::currentTimeMillis, System::nanoTime);
  }

  /** For tests: of these two clocks. */
  public SteadyClock(LongSupplier wall, LongSupplier nanoseconds) {
    this.nanoseconds = nanoseconds;
    offset = wall.getAsLong() - nanoseconds.getAsLong() / 1_000_000;
  }

  @Override
  public long now() {
    return offset + nanoseconds.getAsLong() / 1_000_000;
  }
}
