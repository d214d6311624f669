package knit.am;

import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import knit.am.api.Api;
import knit.am.core.message.Action;
import knit.am.gateway.NodeLogs;
import knit.am.json.Json;
import knit.am.util.Clock;
import knit.am.util.KeyedExecutor;
import knit.am.util.Log;

/**
 * Reads logs for the client, on few threads of their own and from each NodeManager one at a time: one that does not answer delays
 * nothing else. Calls beyond the limits are answered with 429.
 */
final class LogCalls {
  /** Calls at a time to all nodes. */
  static final int THREADS = 4;
  /** Calls that are carried out or wait. */
  static final int LIMIT = 32;
  /** Milliseconds for which a call may wait for a thread. */
  static final long PATIENCE = 5_000;

  private final KeyedExecutor queues;
  private final NodeLogs logs;
  private final Clock clock;
  private final AtomicInteger open = new AtomicInteger();

  /** @param threads as many as {@link #THREADS} */
  LogCalls(Executor threads, NodeLogs logs, Clock clock) {
    queues = new KeyedExecutor(threads, 1);
    this.logs = logs;
    this.clock = clock;
  }

  /** Carry out a call as soon as a thread is free. */
  void add(Action.ReadLog action) {
    if (open.incrementAndGet() > LIMIT) {
      busy(action);
    } else {
      queues.add(action.nodeHttp, new Task(action));
    }
  }

  private void busy(Action.ReadLog action) {
    answer(action, 429, Json.map("error", "busy", "message", "the ApplicationMaster is reading as many logs as it can"));
  }

  private void answer(Action.ReadLog action, int status, Map<String, Object> body) {
    open.decrementAndGet();
    Api.answer(new Action.Answer(action.call.ticket, status, body));
  }

  private final class Task implements Runnable {
    final Action.ReadLog action;

    Task(Action.ReadLog action) {
      this.action = action;
    }

    @Override
    public void run() {
      if (clock.now() - action.call.at > PATIENCE) {
        busy(action);
        return;
      }
      try {
        answer(action, 200, action.call.file == null ? logs.list(action.nodeHttp, action.yarn)
            : logs.read(action.nodeHttp, action.yarn, action.call.file, action.call.offset, action.call.size, action.call.limit));
      } catch (NodeLogs.Failure failure) {
        failed(failure);
        if (failure.code.equals(NodeLogs.Failure.UNREACHABLE)) {
          // Each of the others would take as long to fail.
          queues.takeQueued(action.nodeHttp).forEach(other -> ((Task) other).failed(failure));
        }
      } catch (RuntimeException error) {
        failed(new NodeLogs.Failure(NodeLogs.Failure.REFUSED, Log.reason(error)));
      }
    }

    private void failed(NodeLogs.Failure failure) {
      int status = failure.code.equals(NodeLogs.Failure.NO_LOGS) ? 404 : 409;
      answer(action, status, Json.map("error", failure.code, "message", failure.getMessage()));
    }
  }
}
