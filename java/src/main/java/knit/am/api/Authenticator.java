package knit.am.api;

import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import knit.am.json.Json;
import knit.am.util.Clock;

/**
 * Accepts or refuses a request: by its signature, then by its time and attempt, then by its nonce.
 *
 * <p>Times are compared with the process's own clock, which starts with the wall clock's time and is never set. Callers use the
 * wall clock; a refused one gets the right time in the reply and tries again. So no caller stays refused when the machine's clock
 * is set. It allows no replay either: a request is accepted only within {@link #VALID} of its signed time, this clock passes each
 * time once, and each nonce is kept until its time is over. Requests for an earlier attempt, which had another clock, are refused
 * by the number of the attempt.
 */
final class Authenticator {
  /** Milliseconds. */
  static final long VALID = 60_000;
  static final String CLIENT = "client";
  private static final Pattern SAFE = Pattern.compile("[A-Za-z0-9._~-]+");
  private static final Pattern NONCE = Pattern.compile("[0-9a-f]{16,64}");
  private static final Pattern CONTAINER = Pattern.compile("container_[a-z0-9_]{1,80}");
  private static final Pattern NUMBER = Pattern.compile("[0-9]{1,18}");
  private static final String[] OURS = {"kid", "kattempt", "ktime", "knonce", "ksig"};

  private final byte[] secret;
  private static final Set<String> PROXYS_OWN = new HashSet<>(Arrays.asList("user.name", "doas", "delegation"));

  private final int attempt;
  private final Clock clock;
  private final Nonces nonces = new Nonces(VALID);

  Authenticator(byte[] secret, int attempt, Clock clock) {
    this.secret = secret;
    this.attempt = attempt;
    this.clock = clock;
  }

  /**
   * Whether a parameter is one of Hadoop's authentication, which the ResourceManager's proxy passes on; they are ignored here.
   * Case does not matter: Knox adds {@code doAs} on a cluster with Kerberos.
   */
  static boolean isProxysOwn(String name) {
    return PROXYS_OWN.contains(name.toLowerCase(Locale.ROOT));
  }

  /** The signer of a request with a valid signature. */
  static final class Signer {
    /** Null for the client. */
    final String container;
    final byte[] key;
    final String nonce;
    /** The call's own parameters. */
    final Map<String, String> query;
    /** Whether the call ends something: there are reserves for such calls. */
    final boolean ends;
    /** Why the request is refused despite its signature, else null. */
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
   * @throws Reply if the signature is missing or wrong; the reply must not be signed then
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
    // This form does not overflow for any time.
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
      if (isProxysOwn(name)) {
        continue;
      }
      if (!SAFE.matcher(name).matches() || !SAFE.matcher(value).matches() || query.put(name, value) != null) {
        throw Reply.error(400, "bad-request", "query parameters are name=value, once each, of [A-Za-z0-9._~-]");
      }
    }
    return query;
  }
}
