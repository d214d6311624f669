package knit.am.core;

import java.nio.charset.StandardCharsets;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import knit.am.json.Json;

/**
 * The replies to the newest changing calls, by their tokens: a call that comes once more, because its reply was lost, gets the
 * same reply and changes nothing. Bounded by number and size; the oldest go first.
 */
final class Tokens {
  static final int LIMIT = 10_000;
  private static final int MOST_TEXT = 2 << 20;
  private static final String KEY = "t ";

  private final Changes changes;
  private final Map<String, Json.Raw> replies = new LinkedHashMap<>();
  private long size;

  Tokens(Changes changes) {
    this.changes = changes;
  }

  /** What was replied to the call, null if it was not made before or that is forgotten. */
  @SuppressWarnings("unchecked")
  Map<String, Object> reply(Event.Call call) {
    Json.Raw reply = call.token == null ? null : replies.get(call.token);
    return reply == null ? null : (Map<String, Object>) Json.parse(reply.text.getBytes(StandardCharsets.US_ASCII));
  }

  /** A call was done, and is not to be done again. */
  void done(Event.Call call, Map<String, Object> reply) {
    if (call.token == null || replies.containsKey(call.token)) {
      return;
    }
    Json.Raw text = new Json.Raw(reply);
    keep(call.token, text);
    changes.put(KEY + call.token, text);
    Iterator<Map.Entry<String, Json.Raw>> oldest = replies.entrySet().iterator();
    while (replies.size() > LIMIT || size > MOST_TEXT) {
      Map.Entry<String, Json.Raw> going = oldest.next();
      size -= size(going.getKey(), going.getValue());
      changes.put(KEY + going.getKey(), null);
      oldest.remove();
    }
  }

  private void keep(String token, Json.Raw reply) {
    replies.put(token, reply);
    size += size(token, reply);
  }

  private static int size(String token, Json.Raw reply) {
    return token.length() + reply.text.length();
  }

  void dump(Map<String, Object> records) {
    replies.forEach((token, reply) -> records.put(KEY + token, reply));
  }

  /** Back from the journal, oldest first; whether the record was one of ours. */
  boolean restore(String name, Object record) {
    if (!name.startsWith(KEY)) {
      return false;
    }
    keep(name.substring(KEY.length()), new Json.Raw(record));
    return true;
  }
}
