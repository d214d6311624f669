package knit.am.core.model;

/** A container that YARN has allocated for one request. */
public final class Grant {
  public final String yarn;
  public final long request;
  /** {@code host:port} of the NodeManager. */
  public final String node;
  public final String nodeHttp;

  public Grant(String yarn, long request, String node, String nodeHttp) {
    this.yarn = yarn;
    this.request = request;
    this.node = node;
    this.nodeHttp = nodeHttp;
  }

  public String host() {
    return node.substring(0, node.lastIndexOf(':'));
  }
}
