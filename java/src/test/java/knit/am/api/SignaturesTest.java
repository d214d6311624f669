package knit.am.api;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import knit.am.json.Json;
import org.junit.jupiter.api.Test;

/** The vectors that every implementation of the protocol is tested with. */
class SignaturesTest {
  private static List<Map<?, ?>> vectors(String kind) throws IOException {
    byte[] text = Files.readAllBytes(Paths.get("src/test/resources/signature-vectors.json"));
    List<Map<?, ?>> vectors = new ArrayList<>();
    for (Object vector : (List<?>) ((Map<?, ?>) Json.parse(text)).get(kind)) {
      vectors.add((Map<?, ?>) vector);
    }
    assertFalse(vectors.isEmpty());
    return vectors;
  }

  private static String text(Map<?, ?> vector, String name) {
    return (String) vector.get(name);
  }

  static byte[] bytes(String hex) {
    byte[] bytes = new byte[hex.length() / 2];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
    }
    return bytes;
  }

  @Test
  void requests() throws IOException {
    for (Map<?, ?> vector : vectors("requests")) {
      Map<String, String> query = new HashMap<>();
      ((Map<?, ?>) vector.get("query")).forEach((name, value) -> query.put((String) name, (String) value));
      query.put("ksig", "not part of the text");
      String text = Signatures.requestText(text(vector, "method"), text(vector, "path"), query,
          text(vector, "body").getBytes(StandardCharsets.US_ASCII));
      assertEquals(vector.get("text"), text, text(vector, "name"));
      assertEquals(vector.get("signature"), Signatures.sign(bytes(text(vector, "key")), text));
    }
  }

  @Test
  void replies() throws IOException {
    for (Map<?, ?> vector : vectors("replies")) {
      byte[] reply = text(vector, "reply").getBytes(StandardCharsets.US_ASCII);
      String text = Signatures.replyText(text(vector, "nonce"), ((Long) vector.get("status")).intValue(), reply);
      assertEquals(vector.get("text"), text, text(vector, "name"));
      assertEquals(vector.get("signature"), Signatures.sign(bytes(text(vector, "key")), text));
      assertEquals(vector.get("body"),
          "{\"signature\":\"" + vector.get("signature") + "\",\"reply\":" + vector.get("reply") + "}");
    }
  }

  @Test
  void tokens() throws IOException {
    for (Map<?, ?> vector : vectors("tokens")) {
      assertArrayEquals(bytes(text(vector, "token")),
          Signatures.containerToken(bytes(text(vector, "secret")), text(vector, "container")));
    }
  }

  @Test
  void comparison() {
    assertTrue(Signatures.same("ab", "ab"));
    assertFalse(Signatures.same("ab", "aB"));
    assertFalse(Signatures.same("ab", "abc"));
  }
}
