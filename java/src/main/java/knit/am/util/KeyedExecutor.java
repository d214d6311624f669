package knit.am.util;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;

/** Runs tasks that may block, with a queue for each name: blocking tasks of one name delay no other name's. */
public final class KeyedExecutor {
  private static final class NamedQueue {
    final Deque<Runnable> waiting = new ArrayDeque<>();
    int running;
  }

  private final Map<String, NamedQueue> queues = new HashMap<>();
  private final Executor threads;
  private final int width;

  /**
   * @param threads for all names together; bounded
   * @param width how many tasks of one name run at a time
   */
  public KeyedExecutor(Executor threads, int width) {
    this.threads = threads;
    this.width = width;
  }

  /** Run a task as soon as a thread is free and fewer than `width` tasks of its name run. */
  public synchronized void add(String name, Runnable task) {
    NamedQueue queue = queues.computeIfAbsent(name, key -> new NamedQueue());
    queue.waiting.add(task);
    next(name, queue);
  }

  /** Each queue gives the threads one task at a time, so that names with many tasks take turns with others. */
  private void next(String name, NamedQueue queue) {
    if (queue.waiting.isEmpty() && queue.running == 0) {
      queues.remove(name);
    } else if (!queue.waiting.isEmpty() && queue.running < width) {
      Runnable task = queue.waiting.poll();
      queue.running++;
      threads.execute(() -> {
        try {
          task.run();
        } finally {
          ended(name, queue);
        }
      });
    }
  }

  private synchronized void ended(String name, NamedQueue queue) {
    queue.running--;
    next(name, queue);
  }

  /** Remove the tasks of a name that have not begun, and return them. */
  public synchronized List<Runnable> takeQueued(String name) {
    NamedQueue queue = queues.get(name);
    List<Runnable> taken = queue == null ? new ArrayList<>() : new ArrayList<>(queue.waiting);
    if (queue != null) {
      queue.waiting.clear();
    }
    return taken;
  }
}
