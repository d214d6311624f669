package knit.am.core.model;

/** The application and the attempt of this ApplicationMaster. */
public final class Identity {
  public static final String VERSION = "1.0.0";

  public final String application;
  public final int attempt;
  public final String user;
  /** YARN's id of the ApplicationMaster's own container, null if it is not known. */
  public final String container;
  /** {@code host:port} of the web server of its NodeManager, null if it is not known. */
  public final String nodeHttp;

  public Identity(String application, int attempt, String user) {
    this(application, attempt, user, null, null);
  }

  /**
   * @param application {@code application_…}
   * @param attempt from 1
   */
  public Identity(String application, int attempt, String user, String container, String nodeHttp) {
    this.application = application;
    this.attempt = attempt;
    this.user = user;
    this.container = container;
    this.nodeHttp = nodeHttp;
  }
}
