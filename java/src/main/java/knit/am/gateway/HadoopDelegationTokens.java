package knit.am.gateway;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.ServiceConfigurationError;
import java.util.Set;
import knit.am.json.Json;
import knit.am.util.Clock;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.security.token.TokenIdentifier;
import org.apache.hadoop.security.token.delegation.AbstractDelegationTokenIdentifier;
import org.apache.hadoop.yarn.security.AMRMTokenIdentifier;

/**
 * The tokens in the user's login, from which Hadoop's clients take them whenever they connect, and those for containers.
 *
 * <p>Hadoop's clients use the first token of the right kind and service that they find. So no older token may stay beside a newer
 * one: not in the login, where the launch and the client's file use the same aliases, and not among the private copies that the
 * client of HDFS makes for each NameNode of a nameservice. {@link Credentials#addToken} replaces these copies only when it replaces
 * a token whose alias is the nameservice.
 */
public final class HadoopDelegationTokens implements DelegationTokens {
  /** Bytes of the client's file. A token has some hundred. */
  static final int MAX_SIZE = 1 << 20;
  private static final String LOGICAL = "ha-hdfs:";

  private final UserGroupInformation user;
  private final ApplicationFolder folder;
  private final Clock clock;
  /** Never changed, but replaced. */
  private volatile Credentials present;
  private volatile Set<Token<?>> pushed = Collections.emptySet();
  /** The modification time of the file that was read; -1 for none. */
  private long read = -1;

  /**
   * @param user the login of this process, with the tokens of the launch
   * @param folder has the client's file
   */
  public HadoopDelegationTokens(UserGroupInformation user, ApplicationFolder folder, Clock clock) {
    this.user = user;
    this.folder = folder;
    this.clock = clock;
    Credentials tokens = user.getCredentials();
    tokens.getAllTokens().removeIf(token -> AMRMTokenIdentifier.KIND_NAME.equals(token.getKind()));
    new ArrayList<>(tokens.getAllSecretKeys()).forEach(tokens::removeSecretKey);
    present = tokens;
  }

  /** The tokens for a container: all but the one by which only the ApplicationMaster speaks to the ResourceManager. */
  Credentials forContainer() {
    return new Credentials(present);
  }

  @Override
  public List<Map<String, Object>> facts() {
    List<Map<String, Object>> facts = new ArrayList<>();
    for (Token<?> token : present.getAllTokens()) {
      AbstractDelegationTokenIdentifier identifier = identifier(token);
      facts.add(Json.map("kind", token.getKind().toString(), "service", token.getService().toString(),
          "issued", identifier == null ? null : identifier.getIssueDate(),
          "ends", identifier == null ? null : identifier.getMaxDate(), "pushed", pushed.contains(token)));
    }
    facts.sort(Comparator.comparing(fact -> fact.get("kind") + " " + fact.get("service")));
    return facts;
  }

  @Override
  public synchronized int read() throws IOException {
    ApplicationFolder.ClientFile file = folder.read(FILE, read, MAX_SIZE);
    if (file == null) {
      return 0;
    }
    int newer = use(TokenFile.parse(file.content));
    read = file.modified;
    return newer;
  }

  private int use(Map<Text, Token<TokenIdentifier>> given) throws IOException {
    if (given.isEmpty()) {
      throw new IOException("it has no tokens");
    }
    for (Token<?> token : given.values()) {
      if (AMRMTokenIdentifier.KIND_NAME.equals(token.getKind())) {
        throw new IOException("it has a token of the kind " + token.getKind() + ", which only YARN gives");
      }
    }
    Credentials next = new Credentials(present);
    Set<Token<?>> added = new HashSet<>(pushed);
    int newer = 0;
    for (Map.Entry<Text, Token<TokenIdentifier>> entry : given.entrySet()) {
      Token<TokenIdentifier> token = entry.getValue();
      if (!isNewer(token)) {
        continue;
      }
      next.getAllTokens().removeIf(old -> isSame(old, token));
      next.addToken(entry.getKey(), token);
      added.add(token);
      login(entry.getKey(), token);
      newer++;
    }
    added.retainAll(next.getAllTokens());
    present = next;
    pushed = added;
    return newer;
  }

  private void login(Text alias, Token<TokenIdentifier> token) {
    user.addToken(alias, token);
    if (token.getService().toString().startsWith(LOGICAL)) {
      // The second call replaces the token of the first, and with it the private copies.
      user.addToken(token.getService(), token);
      user.addToken(token.getService(), token);
    }
  }

  /** Whether it has not ended, and was issued after the present token for the same service. */
  private boolean isNewer(Token<?> token) {
    AbstractDelegationTokenIdentifier identifier = identifier(token);
    if (identifier != null && identifier.getMaxDate() <= clock.now()) {
      return false;
    }
    for (Token<?> old : present.getAllTokens()) {
      AbstractDelegationTokenIdentifier before = isSame(old, token) ? identifier(old) : null;
      if (old.equals(token) || before != null && identifier != null && identifier.getIssueDate() < before.getIssueDate()) {
        return false;
      }
    }
    return true;
  }

  private static boolean isSame(Token<?> one, Token<?> other) {
    return one.getKind().equals(other.getKind()) && one.getService().equals(other.getService());
  }

  /** Null for a token of another form, or of a service that is not known here. */
  private static AbstractDelegationTokenIdentifier identifier(Token<?> token) {
    try {
      TokenIdentifier identifier = token.decodeIdentifier();
      return identifier instanceof AbstractDelegationTokenIdentifier ? (AbstractDelegationTokenIdentifier) identifier : null;
    } catch (IOException | RuntimeException | LinkageError | ServiceConfigurationError error) {
      return null;
    }
  }
}
