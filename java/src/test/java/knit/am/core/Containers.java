package knit.am.core;

/** Containers for tests of the gateways. */
public final class Containers {
  private Containers() {}

  /** One that was given on a node, {@code host:port}. */
  public static Container on(String yarn, String node) {
    return new Container("main", 0, 1).starting(new Event.Grant(yarn, 1, node, node));
  }
}
