package knit.am.core.effects;

import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import knit.am.core.message.Call;
import knit.am.json.Json;

/**
 * Replies to the newest changing calls, by the calls' tokens. A client repeats a call whose reply was lost; the repetition gets
 * the same reply and changes nothing. Bounded by number and size; the oldest replies are dropped first.
 */
public final class Tokens {
  public static final int LIMIT = 10_000;
  private static final int MAX_TEXT = 2 << 20;

  private final Changes changes;
  private final Map<String, Json.Raw> replies = new LinkedHashMap<>();
  private long size;

  Tokens(Changes changes) {
    this.changes = changes;
  }

  /** The earlier reply to the call; null if there was none, or it was dropped. */
  @SuppressWarnings("unchecked")
  Map<String, Object> reply(Call call) {
    Json.Raw reply = call.token == null ? null : replies.get(call.token);
    return reply == null ? null : (Map<String, Object>) Json.parse(reply.text.getBytes(StandardCharsets.US_ASCII));
  }

  /** Keep the reply to a call that was carried out. */
  void done(Call call, Map<String, Object> reply) {
    if (call.token == null || replies.containsKey(call.token)) {
      return;
    }
    Json.Raw text = new Json.Raw(reply);
    keep(call.token, text);
    changes.put(RecordKind.TOKEN, call.token, text);
    Iterator<Map.Entry<String, Json.Raw>> entries = replies.entrySet().iterator();
    while (replies.size() > LIMIT || size > MAX_TEXT) {
      Map.Entry<String, Json.Raw> oldest = entries.next();
      size -= size(oldest.getKey(), oldest.getValue());
      changes.put(RecordKind.TOKEN, oldest.getKey(), null);
      entries.remove();
    }
  }

  private void keep(String token, Json.Raw reply) {
    replies.put(token, reply);
    size += size(token, reply);
  }

  private static int size(String token, Json.Raw reply) {
    return token.length() + reply.text.length();
  }

  public void dump(Records records) {
    replies.forEach((token, reply) -> records.put(RecordKind.TOKEN, token, reply));
  }

  /** Restore a record from the journal. Call it from the oldest to the newest. */
  public void restore(String token, Object record) {
    keep(token, new Json.Raw(record));
  }
}
