package knit.am.api;

import java.util.Map;
import knit.am.json.Json;

/** The status and body of a reply. As an exception it ends the handling of a call. */
public final class Reply extends Exception {
  private static final long serialVersionUID = 1L;

  public final int status;
  public final transient Map<String, Object> body;

  Reply(int status, Map<String, Object> body) {
    super(null, null, false, false);
    this.status = status;
    this.body = body;
  }

  static Reply error(int status, String code, String message) {
    return new Reply(status, Json.map("error", code, "message", message));
  }
}
