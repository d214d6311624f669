package knit.am.gateway;

import java.io.IOException;
import java.util.List;
import java.util.Map;

/** The delegation tokens of the application. The client may put newer ones into its folder: docs/protocol.md, section 9. */
public interface DelegationTokens {
  /** The name of the client's file in the application's folder. */
  String FILE = "tokens";

  /** Kind, service, times of issue and end of each token. Neither identifiers nor passwords. */
  List<Map<String, Object>> facts();

  /**
   * Read the client's file, if it is not the one that was read before, and use its tokens from now on.
   *
   * @return how many tokens are newer than those before
   * @throws IOException if the file cannot be read, or is not valid; the tokens stay as they are
   */
  int read() throws IOException;
}
