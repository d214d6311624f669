package knit.am.api;

import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import knit.am.json.Json;
import knit.am.util.Clock;

/**
 * Decides whether a request may pass: its signature, then its time and attempt, then its nonce.
 *
 * <p>Times are compared with a clock of this process's own that is never set: it begins with the wall clock's time and passes at
 * the same speed. Callers follow the wall clock, and one that is off is told the right time and tries once more. So setting the
 * machine's clock, ahead or back, refuses nobody. No replay gets in by it: a request passes only within {@link #VALID} of its own
 * signed time by this clock, the clock passes each time once, and each nonce is remembered until its time is over. What was
 * signed for an earlier attempt, whose clock was another one, is refused by the attempt's number.
 */
final class Authenticator {
  static final long VALID = 60_000;
  static final String CLIENT = "client";
  private static final Pattern SAFE = Pattern.compile("[A-Za-z0-9._~-]+");
  private static final Pattern NONCE = Pattern.compile("[0-9a-f]{16,64}");
  private static final Pattern CONTAINER = Pattern.compile("container_[a-z0-9_]{1,80}");
  private static final Pattern NUMBER = Pattern.compile("[0-9]{1,18}");
  private static final String[] OURS = {"kid", "kattempt", "ktime", "knonce", "ksig"};

  private final byte[] secret;
  /** Hadoop's authentication parameters: for the ResourceManager's proxy, which passes them on; never read here. */
  static final Set<String> PROXYS_OWN = new HashSet<>(Arrays.asList("user.name", "doas", "delegation"));

  private final int attempt;
  private final Clock clock;
  private final Nonces nonces = new Nonces(VALID);

  Authenticator(byte[] secret, int attempt, Clock clock) {
    this.secret = secret;
    this.attempt = attempt;
    this.clock = clock;
  }

  /** Somebody whose signature is right. */
  static final class Signer {
    /** Null for the client. */
    final String container;
    final byte[] key;
    final String nonce;
    /** The call's own parameters. */
    final Map<String, String> query;
    /** Whether this call ends something: there are reserves for these. */
    final boolean ends;
    /** Why the request is refused all the same, else null. */
    final Reply refusal;

    Signer(String container, byte[] key, String nonce, Map<String, String> query, boolean ends, Reply refusal) {
      this.container = container;
      this.key = key;
      this.nonce = nonce;
      this.query = query;
      this.ends = ends;
      this.refusal = refusal;
    }
  }

  /**
   * @throws Reply if nobody we know has signed this: the reply must not be signed either
   */
  Signer identify(String method, String path, String rawQuery, byte[] body) throws Reply {
    Map<String, String> query = query(rawQuery);
    for (String name : OURS) {
      if (!query.containsKey(name)) {
        throw Reply.error(401, "unsigned", "the request has no " + name);
      }
    }
    String kid = query.get("kid");
    String nonce = query.get("knonce");
    String time = query.get("ktime");
    String meant = query.get("kattempt");
    boolean client = kid.equals(CLIENT);
    if (!client && !CONTAINER.matcher(kid).matches()) {
      throw Reply.error(401, "unknown-signer", "kid is neither \"client\" nor a container id");
    }
    if (!NONCE.matcher(nonce).matches() || !NUMBER.matcher(time).matches() || !NUMBER.matcher(meant).matches()) {
      throw Reply.error(400, "bad-request", "knonce, ktime or kattempt has the wrong form");
    }
    byte[] key = client ? secret : Signatures.containerToken(secret, kid);
    String right = Signatures.sign(key, Signatures.requestText(method, path, query, body));
    if (!Signatures.same(right, query.get("ksig"))) {
      throw Reply.error(401, "bad-signature", "the signature is wrong");
    }
    boolean ends = path.endsWith("/shutdown") || path.endsWith("/kill");
    Reply refusal = refusal(client ? null : kid, nonce, ends, Long.parseLong(time), Long.parseLong(meant));
    for (String name : OURS) {
      query.remove(name);
    }
    return new Signer(client ? null : kid, key, nonce, query, ends, refusal);
  }

  private Reply refusal(String container, String nonce, boolean ends, long time, long meant) {
    long now = clock.now();
    if (meant != attempt) {
      return stale("meant for another attempt", now);
    }
    // Written so that no time is so far off that the difference overflows.
    if (time < now - VALID || time > now + VALID) {
      return stale("its time is more than " + VALID / 1000 + " s off", now);
    }
    switch (nonces.add(container, nonce, ends, time, now)) {
      case SEEN:
        return Reply.error(401, "replay", "this nonce was used before");
      case STALE:
        return stale("its time is before that of requests that are forgotten", now);
      case FULL:
        return Reply.error(503, "busy", "more requests within " + VALID / 1000 + " s than this caller's share");
      default:
        return null;
    }
  }

  private Reply stale(String why, long now) {
    return new Reply(401, Json.map("error", "stale", "message", why, "time", now, "attempt", attempt));
  }

  private static Map<String, String> query(String raw) throws Reply {
    Map<String, String> query = new LinkedHashMap<>();
    if (raw == null || raw.isEmpty()) {
      return query;
    }
    for (String part : raw.split("&", -1)) {
      int equals = part.indexOf('=');
      String name = equals < 0 ? part : part.substring(0, equals);
      String value = equals < 0 ? "" : part.substring(equals + 1);
      if (PROXYS_OWN.contains(name)) {
        continue;
      }
      if (!SAFE.matcher(name).matches() || !SAFE.matcher(value).matches() || query.put(name, value) != null) {
        throw Reply.error(400, "bad-request", "query parameters are name=value, once each, of [A-Za-z0-9._~-]");
      }
    }
    return query;
  }
}
