package knit.am;

import java.io.IOException;
import java.util.concurrent.Executor;
import knit.am.gateway.NodeManagers;

/** Calls to NodeManagers: one that does not answer delays no other node's calls. */
final class NodeCalls {
  /** Calls that are made at once, to all nodes together. */
  static final int THREADS = 64;
  /** Calls that are made at once to one node. */
  static final int WIDTH = 8;

  /** One call; it blocks. */
  interface Call {
    void make() throws IOException;

    /** It has failed, or the node has turned out to be unreachable before it was made. */
    void failed(Exception error);
  }

  private final KeyedExecutor lanes;

  /** @param threads as many as {@link #THREADS} */
  NodeCalls(Executor threads) {
    lanes = new KeyedExecutor(threads, WIDTH);
  }

  /** Make a call as soon as its node and the threads allow. */
  void add(String node, Call call) {
    lanes.add(node, new Task(node, call));
  }

  private final class Task implements Runnable {
    final String node;
    final Call call;

    Task(String node, Call call) {
      this.node = node;
      this.call = call;
    }

    @Override
    public void run() {
      try {
        call.make();
      } catch (NodeManagers.Unreachable error) {
        call.failed(error);
        // The others would wait as long for the same end.
        lanes.takeWaiting(node).forEach(other -> ((Task) other).call.failed(error));
      } catch (IOException | RuntimeException error) {
        call.failed(error);
      }
    }
  }
}
