package knit.am;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;

/** Tasks that may block, with a queue for each name: the tasks of one that blocks delay no other's. */
public final class KeyedExecutor {
  private static final class Lane {
    final Deque<Runnable> waiting = new ArrayDeque<>();
    int running;
  }

  private final Map<String, Lane> lanes = new HashMap<>();
  private final Executor threads;
  private final int width;

  /**
   * @param threads bounded, for all together
   * @param width how many tasks of one name run at a time
   */
  public KeyedExecutor(Executor threads, int width) {
    this.threads = threads;
    this.width = width;
  }

  /** Run a task as soon as the others of its name and the threads allow. */
  public synchronized void add(String name, Runnable task) {
    Lane lane = lanes.computeIfAbsent(name, key -> new Lane());
    lane.waiting.add(task);
    next(name, lane);
  }

  /** One task at a time is given to the threads, so that names with many tasks take turns with others. */
  private void next(String name, Lane lane) {
    if (lane.waiting.isEmpty() && lane.running == 0) {
      lanes.remove(name);
    } else if (!lane.waiting.isEmpty() && lane.running < width) {
      Runnable task = lane.waiting.poll();
      lane.running++;
      threads.execute(() -> {
        try {
          task.run();
        } finally {
          ended(name, lane);
        }
      });
    }
  }

  private synchronized void ended(String name, Lane lane) {
    lane.running--;
    next(name, lane);
  }

  /** Take away what has not begun. */
  synchronized List<Runnable> takeWaiting(String name) {
    Lane lane = lanes.get(name);
    List<Runnable> taken = lane == null ? new ArrayList<>() : new ArrayList<>(lane.waiting);
    if (lane != null) {
      lane.waiting.clear();
    }
    return taken;
  }
}
