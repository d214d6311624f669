package knit.am.api;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Map;
import java.util.TreeMap;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Signed texts and their signatures: docs/protocol.md, section 4. */
public final class Signatures {
  private Signatures() {}

  /**
   * The text that a request's signature covers.
   *
   * @param path from {@code /api} on
   * @param query all parameters except {@code ksig}, as sent
   */
  public static String requestText(String method, String path, Map<String, String> query, byte[] body) {
    StringBuilder sorted = new StringBuilder();
    for (Map.Entry<String, String> parameter : new TreeMap<>(query).entrySet()) {
      if (!parameter.getKey().equals("ksig")) {
        sorted.append(sorted.length() == 0 ? "" : "&").append(parameter.getKey()).append('=').append(parameter.getValue());
      }
    }
    return String.join("\n", "knit-request-1", method, path, sorted, sha256(body));
  }

  /** The text that a reply's signature covers. */
  public static String replyText(String nonce, int status, byte[] reply) {
    return String.join("\n", "knit-reply-1", nonce, Integer.toString(status), sha256(reply));
  }

  public static String sign(byte[] key, String text) {
    return hex(hmac(key, text));
  }

  /** The token of a container. */
  public static byte[] containerToken(byte[] secret, String yarn) {
    return hmac(secret, "container:" + yarn);
  }

  /** Compare in constant time. */
  public static boolean same(String one, String other) {
    return MessageDigest.isEqual(one.getBytes(StandardCharsets.UTF_8), other.getBytes(StandardCharsets.UTF_8));
  }

  private static byte[] hmac(byte[] key, String text) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    } catch (GeneralSecurityException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  private static String sha256(byte[] data) {
    try {
      return hex(MessageDigest.getInstance("SHA-256").digest(data));
    } catch (GeneralSecurityException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  private static String hex(byte[] data) {
    StringBuilder text = new StringBuilder(data.length * 2);
    for (byte b : data) {
      text.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
    }
    return text.toString();
  }
}
