package knit.am.core.model;

/** The application and the attempt of this ApplicationMaster. */
public final class Identity {
  public static final String VERSION = "1.0.0";

  public final String application;
  public final int attempt;
  public final String user;

  /**
   * @param application {@code application_…}
   * @param attempt from 1
   */
  public Identity(String application, int attempt, String user) {
    this.application = application;
    this.attempt = attempt;
    this.user = user;
  }
}
