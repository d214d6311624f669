package knit.am.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import knit.am.util.ManualClock;
import knit.am.util.SteadyClock;
import org.junit.jupiter.api.Test;

/** What one signer's requests do to the others'. */
class AuthenticatorTest {
  private static final byte[] SECRET = new byte[32];
  private final ManualClock clock = new ManualClock();
  private final Authenticator gate = new Authenticator(SECRET, 2, clock);
  private long number;

  /** The query of a new request, signed. */
  private String query(String signer, String method, String path) {
    Map<String, String> query = new TreeMap<>();
    query.put("kid", signer);
    query.put("kattempt", "2");
    query.put("ktime", Long.toString(clock.now()));
    query.put("knonce", String.format("%032x", number++));
    byte[] key = signer.equals("client") ? SECRET : Signatures.containerToken(SECRET, signer);
    String signature = Signatures.sign(key, Signatures.requestText(method, path, query, new byte[0]));
    StringBuilder text = new StringBuilder();
    query.forEach((name, value) -> text.append(name).append('=').append(value).append('&'));
    return text + "ksig=" + signature;
  }

  private Reply ask(String method, String path, String query) throws Reply {
    return gate.identify(method, path, query, new byte[0]).refusal;
  }

  private Reply ask(String signer, String path) throws Reply {
    return ask("GET", path, query(signer, "GET", path));
  }

  @Test
  void aContainerThatAsksWithoutEndIsRefusedAndTheOthersAreNot() throws Exception {
    String replayed = query("container_1", "GET", "/api/v1/application");
    assertNull(ask("GET", "/api/v1/application", replayed));
    Reply refusal = null;
    for (int i = 0; i < 20_000 && refusal == null; i++) {
      refusal = ask("container_1", "/api/v1/application");
    }
    assertEquals(503, refusal.status);
    assertTrue(refusal.body.get("message").toString().contains("share"));
    assertNull(ask("container_2", "/api/v1/application"));
    assertNull(ask("client", "/api/v1/shutdown"));
    assertEquals("replay", ask("GET", "/api/v1/application", replayed).body.get("error"));
    clock.advance(Authenticator.VALID);
    assertEquals("replay", ask("GET", "/api/v1/application", replayed).body.get("error"));
    clock.advance(Authenticator.VALID);
    assertNull(ask("container_1", "/api/v1/application"));
    assertEquals("stale", ask("GET", "/api/v1/application", replayed).body.get("error"));
  }

  /** An hour ahead for ten minutes, and back: who has the right time passes all the while, and no replay does. */
  @Test
  void parametersThatProxiesAddAreIgnored() throws Exception {
    for (String added : new String[] {"user.name=alice%40REALM", "doas=alice", "doAs=alice", "delegation=IAAF"}) {
      assertNull(ask("GET", "/api/v1/application", query("client", "GET", "/api/v1/application") + "&" + added), added);
    }
  }

  @Test
  void aMachinesClockThatJumpsRefusesNobody() throws Exception {
    long[] wall = {clock.now()};
    long[] nanoseconds = {0};
    Authenticator jumping = new Authenticator(SECRET, 2, new SteadyClock(() -> wall[0], () -> nanoseconds[0]));
    List<String> passed = new ArrayList<>();
    for (int second = 0; second < 900; second += 10) {
      String query = query("client", "GET", "/api/v1/application");
      assertNull(jumping.identify("GET", "/api/v1/application", query, new byte[0]).refusal, "after " + second + " s");
      passed.add(query);
      for (String before : passed) {
        Reply refusal = jumping.identify("GET", "/api/v1/application", before, new byte[0]).refusal;
        assertTrue(Arrays.asList("replay", "stale").contains(refusal.body.get("error")), refusal.body.toString());
      }
      clock.advance(10_000);
      nanoseconds[0] += 10_000_000_000L;
      wall[0] = clock.now() + (second > 100 && second < 700 ? 3_600_000 : 0);
    }
  }

  @Test
  void timesThatAreFarOffAreStale() throws Exception {
    for (String time : new String[] {"0", "999999999999999999"}) {
      Map<String, String> query = new TreeMap<>();
      query.put("kid", "client");
      query.put("kattempt", "2");
      query.put("ktime", time);
      query.put("knonce", "0123456789abcdef");
      String signature = Signatures.sign(SECRET, Signatures.requestText("GET", "/api/v1/events", query, new byte[0]));
      assertEquals("stale", ask("GET", "/api/v1/events", "kid=client&kattempt=2&ktime=" + time
          + "&knonce=0123456789abcdef&ksig=" + signature).body.get("error"), time);
    }
  }
}
