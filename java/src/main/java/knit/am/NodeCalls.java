package knit.am;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import knit.am.gateway.NodeManagers;

/** Calls to NodeManagers, with a queue for each node: one that does not answer delays no other node's calls. */
final class NodeCalls {
  /** Calls that are made at once, to all nodes together. */
  static final int THREADS = 64;
  /** Calls that are made at once to one node. */
  static final int WIDTH = 4;

  /** One call; it blocks. */
  interface Call {
    void make() throws IOException;

    /** It has failed, or the node has turned out to be unreachable before it was made. */
    void failed(Exception error);
  }

  private static final class Node {
    final Deque<Call> waiting = new ArrayDeque<>();
    int underWay;
  }

  private final Map<String, Node> nodes = new HashMap<>();
  private final ExecutorService pool;

  /** @param pool has {@link #THREADS} threads */
  NodeCalls(ExecutorService pool) {
    this.pool = pool;
  }

  /** Make a call as soon as its node and the threads allow. */
  synchronized void add(String host, Call call) {
    Node node = nodes.computeIfAbsent(host, name -> new Node());
    node.waiting.add(call);
    begin(host, node);
  }

  /** One call at a time is given to the threads, so that nodes with many calls take turns with others. */
  private void begin(String host, Node node) {
    if (node.waiting.isEmpty() && node.underWay == 0) {
      nodes.remove(host);
    } else if (!node.waiting.isEmpty() && node.underWay < WIDTH) {
      Call call = node.waiting.poll();
      node.underWay++;
      pool.execute(() -> run(host, node, call));
    }
  }

  private void run(String host, Node node, Call call) {
    try {
      call.make();
    } catch (NodeManagers.Unreachable error) {
      call.failed(error);
      for (Call other : takeWaiting(node)) {
        other.failed(error);
      }
    } catch (IOException | RuntimeException error) {
      call.failed(error);
    } finally {
      ended(host, node);
    }
  }

  /** They would wait as long for the same end. */
  private synchronized List<Call> takeWaiting(Node node) {
    List<Call> taken = new ArrayList<>(node.waiting);
    node.waiting.clear();
    return taken;
  }

  private synchronized void ended(String host, Node node) {
    node.underWay--;
    begin(host, node);
  }
}
