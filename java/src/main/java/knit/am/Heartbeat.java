package knit.am;

import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.DoubleSupplier;
import knit.am.core.message.Event;
import knit.am.core.model.Outcome;
import knit.am.gateway.ResourceManager;
import knit.am.util.Clock;
import knit.am.util.Log;

/**
 * Talks to the ResourceManager on a thread of its own. After something happened it asks often, then less and less often
 * down to once a second: news is late by a tenth of the time that passed, and a long wait costs the cluster little.
 */
final class Heartbeat implements Runnable {
  static final long SHORTEST = 50;
  static final long LONGEST = 1000;
  private static final int FAREWELLS = 5;
  /** Equal refusals in a row after which nothing else is to be expected; one comes each second. */
  static final int MOST_REFUSALS = 60;

  private final ResourceManager manager;
  private final Clock clock;
  private final Consumer<Event> events;
  private final DoubleSupplier progress;
  private final Runnable settled;
  private volatile long lastAnswer;
  private long lastNews;
  private boolean urgent;
  private Outcome outcome;
  private String diagnostics;
  private String refusal;
  private int refusals;

  /**
   * @param settled returns when what was heard is written down: the next heartbeat lets the ResourceManager forget it
   */
  Heartbeat(ResourceManager manager, Clock clock, Consumer<Event> events, DoubleSupplier progress, Runnable settled) {
    this.manager = manager;
    this.clock = clock;
    this.events = events;
    this.progress = progress;
    this.settled = settled;
    lastNews = clock.now();
    lastAnswer = clock.now();
  }

  /** Milliseconds since the ResourceManager last answered a heartbeat. */
  long silence() {
    return clock.now() - lastAnswer;
  }

  /** There is something to tell the ResourceManager: do it now. */
  synchronized void wake() {
    urgent = true;
    notice();
  }

  /** Something happened that news will follow from. */
  synchronized void notice() {
    lastNews = clock.now();
    notifyAll();
  }

  /** Unregister and end. */
  synchronized void finish(Outcome how, String why) {
    outcome = how;
    diagnostics = why;
    notifyAll();
  }

  /** How long to wait after something last happened that long ago, both in milliseconds. */
  static long interval(long quiet) {
    return Math.max(SHORTEST, Math.min(LONGEST, quiet / 10));
  }

  /** What the ResourceManager does not say again; the size of the cluster it tells every attempt. */
  static boolean toldOnce(Event news) {
    return !(news instanceof Event.ClusterSize);
  }

  @Override
  public void run() {
    boolean first = true;
    while (pause(first)) {
      List<Event> news = Collections.emptyList();
      try {
        news = manager.heartbeat(progress.getAsDouble());
        refusals = 0;
        lastAnswer = clock.now();
      } catch (ResourceManager.Gone error) {
        Log.line(Log.reason(error));
        events.accept(new Event.Disowned(clock.now()));
        return;
      } catch (IOException | RuntimeException error) {
        Log.line("the ResourceManager cannot be asked: " + Log.reason(error));
        count(error);
        slow();
      }
      if (first) {
        Log.phase("asked for containers");
        first = false;
      }
      if (!news.isEmpty()) {
        notice();
        news.forEach(events);
        if (news.stream().anyMatch(Heartbeat::toldOnce)) {
          settled.run();
        }
      }
    }
    farewell();
  }

  /** A ResourceManager that cannot be reached is waited for; one that refuses the same again and again is not. */
  void count(Exception error) {
    if (error instanceof IOException && !(error instanceof ResourceManager.Rejected)) {
      refusals = 0;
      return;
    }
    if (error instanceof ResourceManager.Rejected) {
      // As after a long silence, what follows from not being known is looked at from the first time on.
      boolean known = ((ResourceManager.Rejected) error).known;
      lastAnswer = known ? clock.now() : Math.min(lastAnswer, clock.now() - manager.expiry() - 1);
    }
    String reason = Log.reason(error);
    refusals = reason.equals(refusal) ? refusals + 1 : 1;
    refusal = reason;
    if (refusals >= MOST_REFUSALS) {
      throw new IllegalStateException("the ResourceManager has refused " + refusals + " times in a row: " + reason);
    }
  }

  /** After a fault: once a second. */
  private synchronized void slow() {
    urgent = false;
    lastNews = clock.now() - 10 * LONGEST;
  }

  /** Wait until the next heartbeat is due; false when it is time to take leave. */
  private synchronized boolean pause(boolean first) {
    long begin = System.nanoTime();
    while (outcome == null && !urgent && !first) {
      long left = interval(clock.now() - lastNews) - (System.nanoTime() - begin) / 1_000_000;
      if (left <= 0) {
        break;
      }
      try {
        wait(left);
      } catch (InterruptedException error) {
        throw new IllegalStateException(error);
      }
    }
    urgent = false;
    return outcome == null;
  }

  private void farewell() {
    for (int i = 1; ; i++) {
      try {
        manager.unregister(outcome, diagnostics);
        break;
      } catch (IOException | RuntimeException error) {
        Log.line("could not unregister: " + Log.reason(error));
        if (i == FAREWELLS || error instanceof ResourceManager.Gone) {
          break;
        }
        slow();
      }
    }
    events.accept(new Event.Unregistered(clock.now()));
  }
}
