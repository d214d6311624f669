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
 * Sends heartbeats to the ResourceManager on a thread of its own. The interval is a tenth of the time since the last news, from
 * {@link #SHORTEST} to {@link #LONGEST}: news is at most a tenth late, and a long wait costs the cluster little.
 */
final class Heartbeat implements Runnable {
  static final long SHORTEST = 50;
  static final long LONGEST = 1000;
  private static final int UNREGISTER_TRIES = 5;
  /** Equal refusals in a row, one each second, after which this attempt ends. */
  static final int MOST_REFUSALS = 60;

  private final ResourceManager manager;
  private final Clock clock;
  private final Consumer<Event> events;
  private final DoubleSupplier progress;
  private final Runnable settle;
  private volatile long lastAnswer;
  private long lastNews;
  private boolean urgent;
  private Outcome outcome;
  private String diagnostics;
  private String refusal;
  private int refusals;

  /**
   * @param settle returns when the news is in the journal: with the next heartbeat the ResourceManager drops it
   */
  Heartbeat(ResourceManager manager, Clock clock, Consumer<Event> events, DoubleSupplier progress, Runnable settle) {
    this.manager = manager;
    this.clock = clock;
    this.events = events;
    this.progress = progress;
    this.settle = settle;
    lastNews = clock.now();
    lastAnswer = clock.now();
  }

  /** Milliseconds since the ResourceManager last answered a heartbeat. */
  long silence() {
    return clock.now() - lastAnswer;
  }

  /** Send a heartbeat now, because there are new requests. */
  synchronized void wake() {
    urgent = true;
    notice();
  }

  /** News is expected soon. */
  synchronized void notice() {
    lastNews = clock.now();
    notifyAll();
  }

  /** Unregister and end the thread. */
  synchronized void finish(Outcome how, String why) {
    outcome = how;
    diagnostics = why;
    notifyAll();
  }

  /** Milliseconds until the next heartbeat, so many after the last news. */
  static long interval(long quiet) {
    return Math.max(SHORTEST, Math.min(LONGEST, quiet / 10));
  }

  /** Whether the ResourceManager reports it to one attempt only. It reports the size of the cluster to every attempt. */
  static boolean isReportedOnce(Event news) {
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
        Log.line("the heartbeat to the ResourceManager failed: " + Log.reason(error));
        count(error);
        slow();
      }
      if (first) {
        Log.phase("first heartbeat");
        first = false;
      }
      if (!news.isEmpty()) {
        notice();
        news.forEach(events);
        if (news.stream().anyMatch(Heartbeat::isReportedOnce)) {
          settle.run();
        }
      }
    }
    unregister();
  }

  /** Count equal refusals. A ResourceManager that cannot be reached is retried without limit, one that refuses is not. */
  void count(Exception error) {
    if (error instanceof IOException && !(error instanceof ResourceManager.Rejected)) {
      refusals = 0;
      return;
    }
    if (error instanceof ResourceManager.Rejected) {
      // An attempt that is not known may be superseded: act as after a long time without an answer.
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

  /** After a fault, send one heartbeat each second. */
  private synchronized void slow() {
    urgent = false;
    lastNews = clock.now() - 10 * LONGEST;
  }

  /**
   * Wait until the next heartbeat is due.
   *
   * @return false when the attempt is to be unregistered
   */
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

  private void unregister() {
    for (int i = 1; ; i++) {
      try {
        manager.unregister(outcome, diagnostics);
        break;
      } catch (IOException | RuntimeException error) {
        Log.line("could not unregister: " + Log.reason(error));
        if (i == UNREGISTER_TRIES || error instanceof ResourceManager.Gone) {
          break;
        }
        slow();
      }
    }
    events.accept(new Event.Unregistered(clock.now()));
  }
}
