package knit.am;

import java.io.IOException;
import java.util.concurrent.Executor;
import knit.am.gateway.NodeManagers;
import knit.am.util.KeyedExecutor;

/** Queues calls to NodeManagers by node, so that one that does not answer delays the calls to its own node only. */
final class NodeManagerCalls {
  /** Calls at a time to all nodes. */
  static final int THREADS = 64;
  /** Calls at a time to one node. */
  static final int WIDTH = 8;

  /** A call that blocks. */
  interface NodeCall {
    void make() throws IOException;

    /** The call has failed, or was not made because its node is unreachable. */
    void failed(Exception error);
  }

  private final KeyedExecutor queues;

  /** @param threads as many as {@link #THREADS} */
  NodeManagerCalls(Executor threads) {
    queues = new KeyedExecutor(threads, WIDTH);
  }

  /** Make a call as soon as a thread and one of the node's {@link #WIDTH} places are free. */
  void add(String node, NodeCall call) {
    queues.add(node, new Task(node, call));
  }

  private final class Task implements Runnable {
    final String node;
    final NodeCall call;

    Task(String node, NodeCall call) {
      this.node = node;
      this.call = call;
    }

    @Override
    public void run() {
      try {
        call.make();
      } catch (NodeManagers.Unreachable error) {
        call.failed(error);
        // Each of the others would take as long to fail.
        queues.takeQueued(node).forEach(other -> ((Task) other).call.failed(error));
      } catch (IOException | RuntimeException error) {
        call.failed(error);
      }
    }
  }
}
