package knit.am.gateway;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.Arrays;
import java.util.Base64;
import java.util.TreeSet;
import knit.am.json.Json;
import knit.am.util.ManualClock;
import org.apache.hadoop.hdfs.HAUtilClient;
import org.apache.hadoop.hdfs.security.token.delegation.DelegationTokenIdentifier;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.security.token.TokenIdentifier;
import org.apache.hadoop.security.token.delegation.AbstractDelegationTokenIdentifier;
import org.apache.hadoop.yarn.security.AMRMTokenIdentifier;
import org.apache.hadoop.yarn.security.client.RMDelegationTokenIdentifier;
import org.junit.jupiter.api.Test;

/** Newer delegation tokens of the client: where they get, and what is refused. */
class HadoopDelegationTokensTest {
  private static final long DAY = 86_400_000;
  /** Written by knit_container.credentials, as tests/unit/test_credentials.py tests: two tokens and a secret key. */
  private static final String PYTHONS = "SERUUwACBGhkZnMdAAVhbGljZQR5YXJuAIoBi8/laACKAYvz8ewAAwIQbmV2ZXIgdG8gYmUgc2VlbhVI"
      + "REZTX0RFTEVHQVRJT05fVE9LRU4KaGEtaGRmczpucwRoaXZlj8h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eH"
      + "h4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
      + "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eBBuZXZlciB0by"
      + "BiZSBzZWVuFUhJVkVfREVMRUdBVElPTl9UT0tFTgABCmtuaXQudG9rZW4gAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

  private final ManualClock clock = new ManualClock();
  private final long now = clock.now();
  private final UserGroupInformation user = UserGroupInformation.createRemoteUser("alice");
  private final FakeTokenFolder folder = new FakeTokenFolder();

  static Token<TokenIdentifier> token(AbstractDelegationTokenIdentifier identifier, long issued, String service) {
    identifier.setIssueDate(issued);
    identifier.setMaxDate(issued + 7 * DAY);
    return new Token<>(identifier.getBytes(), "never to be seen".getBytes(), identifier.getKind(), new Text(service));
  }

  static Token<TokenIdentifier> hdfs(long issued) {
    return token(new DelegationTokenIdentifier(new Text("alice"), new Text("yarn"), new Text()), issued, "ha-hdfs:ns");
  }

  static Token<TokenIdentifier> manager(long issued) {
    return token(new RMDelegationTokenIdentifier(new Text("alice"), new Text("yarn"), new Text()), issued, "");
  }

  static byte[] file(Object... aliasesAndTokens) throws IOException {
    Credentials credentials = new Credentials();
    for (int i = 0; i < aliasesAndTokens.length; i += 2) {
      credentials.addToken(new Text((String) aliasesAndTokens[i]), (Token<?>) aliasesAndTokens[i + 1]);
    }
    credentials.addSecretKey(new Text("knit.secret"), new byte[] {1});
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    credentials.writeTokenStorageToStream(new DataOutputStream(out), Credentials.SerializedFormat.WRITABLE);
    return out.toByteArray();
  }

  private HadoopDelegationTokens launched() {
    user.addToken(new Text("hdfs"), hdfs(now - DAY));
    user.addToken(new Text("resourcemanager"), manager(now - DAY));
    user.addToken(new Text("hive"), new Token<>(new byte[] {7}, new byte[] {8}, new Text("HIVE_DELEGATION_TOKEN"), new Text()));
    user.addToken(new Text("10.0.0.1:8030"), new Token<>(new byte[] {1}, new byte[] {2}, AMRMTokenIdentifier.KIND_NAME,
        new Text("10.0.0.1:8030")));
    Credentials secrets = new Credentials();
    secrets.addSecretKey(new Text("knit.secret"), new byte[] {9});
    user.addCredentials(secrets);
    return new HadoopDelegationTokens(user, folder, clock);
  }

  /** Kind and time of issue of each token: `HDFS_DELEGATION_TOKEN -1` is a day old. */
  private String tokens(Iterable<Token<? extends TokenIdentifier>> all) throws IOException {
    TreeSet<String> shown = new TreeSet<>();
    for (Token<?> token : all) {
      TokenIdentifier identifier = AMRMTokenIdentifier.KIND_NAME.equals(token.getKind()) ? null : token.decodeIdentifier();
      shown.add(token.getKind() + (identifier instanceof AbstractDelegationTokenIdentifier
          ? " " + (((AbstractDelegationTokenIdentifier) identifier).getIssueDate() - now) / DAY : ""));
    }
    return String.join(", ", shown);
  }

  private String forContainer(HadoopDelegationTokens tokens) throws IOException {
    Credentials given = tokens.forContainer();
    assertEquals(0, given.numberOfSecretKeys());
    return tokens(given.getAllTokens());
  }

  private static final String LAUNCHED = "HDFS_DELEGATION_TOKEN -1, HIVE_DELEGATION_TOKEN, RM_DELEGATION_TOKEN -1";

  @Test
  void containersGetTheTokensOfTheLaunchButNotThatOfTheApplicationMaster() throws Exception {
    HadoopDelegationTokens tokens = launched();
    assertEquals(LAUNCHED, forContainer(tokens));
    assertEquals(0, tokens.read());
    assertEquals(LAUNCHED, forContainer(tokens));
  }

  @Test
  void newerOnesReplaceThemForContainersAndInTheLogin() throws Exception {
    HadoopDelegationTokens tokens = launched();
    folder.put(file("hdfs", hdfs(now), "resourcemanager", manager(now)));
    assertEquals(2, tokens.read());
    assertEquals("HDFS_DELEGATION_TOKEN 0, HIVE_DELEGATION_TOKEN, RM_DELEGATION_TOKEN 0", forContainer(tokens));
    assertEquals("HDFS_DELEGATION_TOKEN 0, HIVE_DELEGATION_TOKEN, RM_DELEGATION_TOKEN 0, YARN_AM_RM_TOKEN",
        tokens(user.getTokens()));
    assertArrayEquals(new byte[] {9}, user.getCredentials().getSecretKey(new Text("knit.secret")));
    assertEquals(0, tokens.read());
    folder.put(file("hdfs", hdfs(now + DAY)));
    assertEquals(1, tokens.read());
    assertEquals("HDFS_DELEGATION_TOKEN 1, HIVE_DELEGATION_TOKEN, RM_DELEGATION_TOKEN 0", forContainer(tokens));
  }

  @Test
  void theCopiesForTheNamenodesOfANameserviceAreReplacedToo() throws Exception {
    HadoopDelegationTokens tokens = launched();
    InetSocketAddress namenode = new InetSocketAddress("127.0.0.1", 8020);
    HAUtilClient.cloneDelegationTokenForLogicalUri(user, URI.create("hdfs://ns"), Arrays.asList(namenode));
    folder.put(file("hdfs", hdfs(now)));
    tokens.read();
    int copies = 0;
    for (Token<?> token : user.getTokens()) {
      if (token.getKind().equals(DelegationTokenIdentifier.HDFS_DELEGATION_KIND)) {
        copies += token.isPrivate() ? 1 : 0;
        assertEquals(now, ((AbstractDelegationTokenIdentifier) token.decodeIdentifier()).getIssueDate());
      }
    }
    assertEquals(1, copies);
  }

  @Test
  void anAliasOfAnotherProgramLeavesNoOlderTokenForContainers() throws Exception {
    HadoopDelegationTokens tokens = launched();
    folder.put(file("ha-hdfs:ns", hdfs(now)));
    assertEquals(1, tokens.read());
    assertEquals("HDFS_DELEGATION_TOKEN 0, HIVE_DELEGATION_TOKEN, RM_DELEGATION_TOKEN -1", forContainer(tokens));
  }

  @Test
  void olderAndEndedTokensAreNotUsed() throws Exception {
    HadoopDelegationTokens tokens = launched();
    folder.put(file("hdfs", hdfs(now - 2 * DAY), "resourcemanager", manager(now)));
    assertEquals(1, tokens.read());
    assertEquals("HDFS_DELEGATION_TOKEN -1, HIVE_DELEGATION_TOKEN, RM_DELEGATION_TOKEN 0", forContainer(tokens));
    clock.advance(8 * DAY);
    folder.put(file("hdfs", hdfs(now)));
    assertEquals(0, tokens.read());
  }

  @Test
  void aBrokenOrHostileFileChangesNothing() throws Exception {
    HadoopDelegationTokens tokens = launched();
    byte[] right = file("hdfs", hdfs(now));
    for (int length = 0; length < right.length - 20; length += 7) {
      refused(tokens, Arrays.copyOf(right, length));
    }
    refused(tokens, file());
    refused(tokens, file("hdfs", hdfs(now), "am", new Token<>(new byte[1], new byte[1], AMRMTokenIdentifier.KIND_NAME,
        new Text("10.0.0.1:8030"))));
    byte[] version1 = right.clone();
    version1[4] = 1;
    refused(tokens, version1);
    // One token whose identifier has two thousand million bytes: Hadoop's own reader would allocate them.
    refused(tokens, new byte[] {'H', 'D', 'T', 'S', 0, 1, 1, 'a', (byte) 0x8c, 0x7f, (byte) 0xff, (byte) 0xff, (byte) 0xff});
    refused(tokens, new byte[] {'H', 'D', 'T', 'S', 0, (byte) 0x8c, 0x7f, (byte) 0xff, (byte) 0xff, (byte) 0xff});
    refused(tokens, new byte[] {'H', 'D', 'T', 'S', 0, 1, (byte) 0x80, 5});
    folder.put(right);
    assertEquals(1, tokens.read());
  }

  private void refused(HadoopDelegationTokens tokens, byte[] content) throws IOException {
    folder.put(content);
    for (int i = 0; i < 2; i++) {
      String message = assertThrows(IOException.class, tokens::read).getMessage();
      assertFalse(message.contains("never") || message.contains("alice"), message);
    }
    assertEquals(LAUNCHED, forContainer(tokens));
    assertEquals(LAUNCHED + ", YARN_AM_RM_TOKEN", tokens(user.getTokens()));
  }

  @Test
  void theFactsHaveNoSecrets() throws Exception {
    HadoopDelegationTokens tokens = launched();
    folder.put(file("hdfs", hdfs(now)));
    tokens.read();
    assertEquals("[{\"kind\":\"HDFS_DELEGATION_TOKEN\",\"service\":\"ha-hdfs:ns\",\"issued\":" + now
        + ",\"ends\":" + (now + 7 * DAY) + ",\"pushed\":true}"
        + ",{\"kind\":\"HIVE_DELEGATION_TOKEN\",\"service\":\"\",\"issued\":null,\"ends\":null,\"pushed\":false},"
        + "{\"kind\":\"RM_DELEGATION_TOKEN\",\"service\":\"\",\"issued\":" + (now - DAY) + ",\"ends\":" + (now + 6 * DAY)
        + ",\"pushed\":false}]", Json.write(tokens.facts()));
  }

  @Test
  void pythonsFileIsOneThatHadoopReads() throws Exception {
    byte[] content = Base64.getDecoder().decode(PYTHONS);
    Credentials read = new Credentials();
    read.readTokenStorageStream(new DataInputStream(new ByteArrayInputStream(content)));
    assertEquals("HDFS_DELEGATION_TOKEN 0, HIVE_DELEGATION_TOKEN", tokens(read.getAllTokens()));
    assertEquals("never to be seen", new String(read.getToken(new Text("hdfs")).getPassword()));
    assertEquals("ha-hdfs:ns", read.getToken(new Text("hdfs")).getService().toString());
    assertArrayEquals(new byte[32], read.getSecretKey(new Text("knit.token")));
    assertNull(read.getToken(new Text("hive")).decodeIdentifier());
    read.getAllTokens().forEach(token -> {
      try {
        assertEquals(token, TokenFile.parse(content).get(new Text(token.getService().getLength() > 0 ? "hdfs" : "hive")));
      } catch (IOException error) {
        throw new AssertionError(error);
      }
    });
    byte[] written = file("one", manager(1_700_000_000_000L));
    assertEquals(MANAGERS, Base64.getEncoder().encodeToString(written));
  }

  /** The token of a ResourceManager, for tests/unit/test_credentials.py. */
  private static final String MANAGERS = "SERUUwABA29uZRsKBWFsaWNlEgR5YXJuIIDQlf+8MSiA2MefvzEQbmV2ZXIgdG8gYmUgc2VlbhNSTV9E"
      + "RUxFR0FUSU9OX1RPS0VOAAELa25pdC5zZWNyZXQBAQ==";
}
