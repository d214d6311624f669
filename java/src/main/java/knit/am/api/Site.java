package knit.am.api;

import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;

/** The pages for people. */
public interface Site {
  /** Answer one request; the exchange is closed by the caller. */
  void serve(HttpExchange exchange) throws IOException;
}
