package knit.am.gateway;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.io.WritableUtils;
import org.apache.hadoop.security.token.Token;
import org.apache.hadoop.security.token.TokenIdentifier;

/**
 * Reads the tokens of a credentials file of Hadoop (version 0). Hadoop's own reader allocates whatever length the file gives, so a
 * damaged file could use up the memory.
 */
final class TokenFile {
  private static final byte[] MAGIC = {'H', 'D', 'T', 'S', 0};

  private final DataInputStream in;

  private TokenFile(byte[] content) {
    in = new DataInputStream(new ByteArrayInputStream(content));
  }

  /**
   * The tokens by alias. Secret keys are ignored.
   *
   * @throws IOException if the content is not such a file; the message has nothing of its content
   */
  static Map<Text, Token<TokenIdentifier>> parse(byte[] content) throws IOException {
    if (content.length < MAGIC.length || !Arrays.equals(Arrays.copyOf(content, MAGIC.length), MAGIC)) {
      throw new IOException("it is not a credentials file of version 0");
    }
    return new TokenFile(content).tokens();
  }

  private Map<Text, Token<TokenIdentifier>> tokens() throws IOException {
    in.readFully(new byte[MAGIC.length]);
    Map<Text, Token<TokenIdentifier>> tokens = new LinkedHashMap<>();
    for (long left = number(); left > 0; left--) {
      Text alias = text();
      tokens.put(alias, new Token<>(block(), block(), text(), text()));
    }
    return tokens;
  }

  private Text text() throws IOException {
    return new Text(new String(block(), StandardCharsets.UTF_8));
  }

  private byte[] block() throws IOException {
    byte[] block = new byte[(int) number()];
    in.readFully(block);
    return block;
  }

  /** A length or count, which is never more than the bytes that are left. */
  private long number() throws IOException {
    long number;
    try {
      number = WritableUtils.readVLong(in);
    } catch (IOException error) {
      throw new IOException("it is truncated");
    }
    if (number < 0 || number > in.available()) {
      throw new IOException("it is truncated");
    }
    return number;
  }
}
