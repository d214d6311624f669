package knit.am.api;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;
import knit.am.json.Fields;
import knit.am.json.Json;
import knit.am.util.Clock;

/** Turns each request to the API into a call for the owner thread: docs/protocol.md, section 5. */
final class Router {
  private static final Pattern TOKEN = Pattern.compile("[0-9a-f]{16,64}");
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9._~-]{1,100}");

  private final Consumer<Event> events;
  private final Clock clock;

  Router(Consumer<Event> events, Clock clock) {
    this.events = events;
    this.clock = clock;
  }

  /** A request. */
  private final class Request {
    final String method;
    final List<String> way;
    final Map<String, String> query;
    /** YARN's id of the container that calls, null for the client. */
    final String container;
    final byte[] raw;
    final long at = clock.now();
    final CompletableFuture<Reply> ticket = new CompletableFuture<>();
    /** Seconds for which it may wait. */
    private final int longest;

    Request(String method, List<String> way, Map<String, String> query, String container, byte[] raw, int longest) {
      this.longest = longest;
      this.method = method;
      this.way = way;
      this.query = query;
      this.container = container;
      this.raw = raw;
    }

    Fields body() {
      return new Fields(Json.parse(raw), "the body");
    }

    void only(String allowed) throws Reply {
      if (!method.equals(allowed)) {
        throw Reply.error(405, "method-not-allowed", method + " is not possible here, " + allowed + " is");
      }
    }

    void clientOnly() throws Reply {
      if (container != null) {
        throw Reply.error(403, "forbidden", "a container's token is not good for this call");
      }
    }

    void containerOnly() throws Reply {
      if (container == null) {
        throw Reply.error(403, "forbidden", "only a container can make this call");
      }
    }

    /** Remove a whole number from the parameters and return it. */
    long number(String name, long missing, long most) {
      String text = query.remove(name);
      if (text == null) {
        return missing;
      }
      if (!text.matches("[0-9]{1,18}") || Long.parseLong(text) > most) {
        throw new IllegalArgumentException("the parameter " + name + " is a whole number from 0 to " + most);
      }
      return Long.parseLong(text);
    }

    long deadline() {
      return at + Math.min(longest, number("wait", 0, HttpLimits.MAX_WAIT)) * 1000;
    }
  }

  /**
   * @param path from {@code /api} on
   * @param query the call's own parameters
   * @param container YARN's id of the container that calls, null for the client
   * @param longest most seconds for which the call may wait
   * @return completed when the owner thread has answered
   * @throws Reply if the call is invalid
   */
  CompletableFuture<Reply> start(String method, String path, Map<String, String> query, String container, byte[] body,
      int longest) throws Reply {
    List<String> way = Arrays.asList(path.split("/", -1));
    if (way.size() < 4 || way.size() > 7 || !way.get(1).equals("api") || !way.get(2).equals("v1")) {
      throw unknown(path);
    }
    Request call = new Request(method, way.subList(3, way.size()), query, container, body, longest);
    Event event;
    try {
      event = event(call, path);
      if (!call.query.isEmpty()) {
        throw new IllegalArgumentException("unknown parameters: " + String.join(", ", call.query.keySet()));
      }
    } catch (IllegalArgumentException error) {
      throw Reply.error(400, "bad-request", error.getMessage());
    }
    events.accept(event);
    return call.ticket;
  }

  private Event event(Request call, String path) throws Reply {
    String last = call.way.size() == 1 ? "" : call.way.get(call.way.size() - 1);
    String verb = call.way.size() == 3 ? "/" + last : call.way.size() == 4 ? "/" + call.way.get(2) : "";
    switch (call.way.get(0) + "/" + call.way.size() + verb) {
      case "application/1":
        call.only("GET");
        return new Call.Read(call.at, call.ticket, Call.What.APPLICATION);
      case "containers/1":
        call.only("GET");
        return new Call.Read(call.at, call.ticket, Call.What.CONTAINERS);
      case "events/1":
        return readEvents(call);
      case "progress/1":
        return progress(call);
      case "ready/1":
        call.only("PUT");
        call.containerOnly();
        call.body().end();
        return new Call.Ready(call.at, call.ticket, call.container);
      case "result/1":
        return result(call);
      case "shutdown/1":
        return shutdown(call);
      case "queue/1":
      case "priority/1":
        return administer(call);
      case "services/3/scale":
        return scale(call);
      case "containers/3/kill":
        return kill(call);
      case "tokens/1":
        return tokens(call);
      case "containers/3/logs":
        return readLog(call, null);
      case "containers/4/logs":
        return readLog(call, fileName(last));
      case "kv/1":
        return kvList(call);
      case "kv/2":
        return call.method.equals("GET") ? kvGet(call) : kvPut(call);
      case "kv/3/delete":
        return kvDelete(call);
      case "kv/3/append":
        return kvAppend(call);
      case "barriers/2":
        return arrive(call);
      case "pages/2":
        return page(call);
      default:
        throw unknown(path);
    }
  }

  private Event readEvents(Request call) throws Reply {
    call.only("GET");
    long after = call.number("after", 0, Long.MAX_VALUE);
    int most = (int) call.number("limit", HttpLimits.EVENTS, HttpLimits.EVENTS);
    return new Call.ReadEvents(call.at, call.ticket, after, Math.max(1, most), call.deadline());
  }

  private Event scale(Request call) throws Reply {
    call.only("PUT");
    Fields fields = call.body();
    boolean relative = fields.has("by");
    int instances = relative ? (int) fields.whole("by", -Spec.MAX_INSTANCES, Spec.MAX_INSTANCES)
        : (int) fields.whole("instances", 0, Spec.MAX_INSTANCES);
    String token = token(fields);
    fields.end();
    return new Call.Scale(call.at, call.ticket, call.container, call.way.get(1), instances, relative, token);
  }

  private Event kill(Request call) throws Reply {
    call.only("PUT");
    Fields fields = call.body();
    String token = token(fields);
    fields.end();
    return new Call.Kill(call.at, call.ticket, call.container, call.way.get(1), token);
  }

  private Event tokens(Request call) throws Reply {
    call.clientOnly();
    boolean renew = call.method.equals("PUT");
    if (renew) {
      call.body().end();
    }
    return new Call.Tokens(call.at, call.ticket, renew);
  }

  private Event readLog(Request call, String file) throws Reply {
    call.only("GET");
    call.clientOnly();
    long offset = file == null ? 0 : call.number("offset", 0, Long.MAX_VALUE);
    long size = file == null ? 0 : call.number("size", 0, Long.MAX_VALUE);
    int limit = file == null ? 0 : (int) call.number("limit", HttpLimits.LOG, HttpLimits.LOG);
    return new Call.ReadLog(call.at, call.ticket, call.way.get(1), file, offset, size, limit);
  }

  /** The name of a file in a container's folder of logs, sent like a key. It must not lead out of that folder. */
  private static String fileName(String encoded) {
    String name = decoded(encoded);
    boolean leadsElsewhere = name.contains("..") || name.equals(".") || name.matches("(?s).*[/\\\\?\\p{Cntrl}].*");
    if (name.isEmpty() || name.getBytes(StandardCharsets.UTF_8).length > HttpLimits.LOG_NAME || leadsElsewhere) {
      throw new IllegalArgumentException("the name of a log file has 1 to " + HttpLimits.LOG_NAME
          + " bytes, and no \"/\", \"\\\", \"?\", \"..\" or control characters");
    }
    return name;
  }

  private Event progress(Request call) throws Reply {
    call.only("PUT");
    Fields fields = call.body();
    double progress = fields.number("progress");
    Map<String, Object> metrics = fields.has("metrics") ? fields.map("metrics") : Collections.emptyMap();
    fields.end();
    if (!(progress >= 0 && progress <= 1)) {
      throw new IllegalArgumentException("\"progress\" is " + progress + ", it must be 0 to 1");
    }
    if (Json.write(metrics).length() > HttpLimits.METRICS) {
      throw new IllegalArgumentException("\"metrics\" is longer than " + HttpLimits.METRICS + " bytes");
    }
    return new Call.Progress(call.at, call.ticket, call.container, progress, metrics);
  }

  private Event result(Request call) throws Reply {
    if (call.method.equals("GET")) {
      call.clientOnly();
      return new Call.Read(call.at, call.ticket, Call.What.RESULTS);
    }
    call.only("PUT");
    call.containerOnly();
    Fields fields = call.body();
    Json.Raw value = value(fields);
    fields.end();
    return new Call.Returned(call.at, call.ticket, call.container, value);
  }

  private Event shutdown(Request call) throws Reply {
    call.only("PUT");
    Fields fields = call.body();
    String outcome = fields.one("outcome", "SUCCEEDED", "FAILED", "KILLED");
    String diagnostics = fields.has("diagnostics") ? fields.text("diagnostics") : "";
    fields.end();
    return new Call.Shutdown(call.at, call.ticket, call.container, Outcome.valueOf(outcome), diagnostics);
  }

  private Event administer(Request call) throws Reply {
    call.only("PUT");
    Fields fields = call.body();
    boolean queue = call.way.get(0).equals("queue");
    String value = queue ? fields.text("queue") : Long.toString(fields.whole("priority", 0, Integer.MAX_VALUE));
    fields.end();
    return new Call.Administer(call.at, call.ticket, call.container, queue, value);
  }

  private Event kvList(Request call) throws Reply {
    call.only("GET");
    String prefix = call.query.containsKey("prefix") ? decoded(call.query.remove("prefix")) : "";
    long after = call.number("after", -1, Long.MAX_VALUE);
    boolean values = call.number("values", 1, 1) == 1;
    return new Call.KvList(call.at, call.ticket, prefix, after, values, call.deadline());
  }

  private Event kvGet(Request call) {
    long after = call.number("after", 0, Long.MAX_VALUE);
    return new Call.KvGet(call.at, call.ticket, key(call), after, call.deadline());
  }

  private Event kvPut(Request call) throws Reply {
    call.only("PUT");
    Fields fields = call.body();
    Json.Raw value = value(fields);
    Long expect = expect(fields);
    String token = token(fields);
    fields.end();
    return new Call.KvPut(call.at, call.ticket, call.container, key(call), value, expect, token);
  }

  private Event kvDelete(Request call) throws Reply {
    call.only("PUT");
    Fields fields = call.body();
    Long expect = expect(fields);
    String token = token(fields);
    fields.end();
    return new Call.KvDelete(call.at, call.ticket, call.container, key(call), expect, token);
  }

  private Event kvAppend(Request call) throws Reply {
    call.only("PUT");
    Fields fields = call.body();
    Json.Raw value = value(fields);
    String token = token(fields);
    fields.end();
    return new Call.KvAppend(call.at, call.ticket, call.container, key(call), value, token);
  }

  private Event arrive(Request call) throws Reply {
    call.only("PUT");
    call.containerOnly();
    Fields fields = call.body();
    int parties = fields.has("parties") ? (int) fields.whole("parties", 1, Spec.MAX_INSTANCES) : 0;
    fields.end();
    return new Call.Arrive(call.at, call.ticket, call.container, key(call), parties, call.deadline());
  }

  private Event page(Request call) throws Reply {
    call.only("PUT");
    call.containerOnly();
    Fields fields = call.body();
    int port = (int) fields.whole("port", 1, 65535);
    String path = fields.text("path");
    fields.end();
    if (!NAME.matcher(call.way.get(1)).matches() || !path.matches("/[\\x21-\\x7e]{0,500}")) {
      throw new IllegalArgumentException("a page has a name of [A-Za-z0-9._~-] and a path that begins with \"/\"");
    }
    return new Call.AddPage(call.at, call.ticket, call.container, call.way.get(1), port, path);
  }

  private static String key(Request call) {
    String key = decoded(call.way.get(1));
    if (key.isEmpty()) {
      throw new IllegalArgumentException("a key has at least one character");
    }
    return key;
  }

  /** Keys are sent as base64url of UTF-8, because the proxy would change other characters. */
  private static String decoded(String text) {
    try {
      byte[] raw = Base64.getUrlDecoder().decode(text);
      if (raw.length > HttpLimits.KEY) {
        throw new IllegalArgumentException("a key has at most " + HttpLimits.KEY + " bytes");
      }
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(raw)).toString();
    } catch (CharacterCodingException error) {
      throw new IllegalArgumentException("a key is not UTF-8");
    }
  }

  private static Json.Raw value(Fields fields) throws Reply {
    Json.Raw value = new Json.Raw(fields.any("value"));
    if (value.text.length() > HttpLimits.VALUE) {
      throw Reply.error(413, "too-large", "the value has " + value.text.length() + " bytes, at most "
          + HttpLimits.VALUE + " are kept");
    }
    return value;
  }

  private static Long expect(Fields fields) {
    return fields.has("expect") ? (Long) fields.whole("expect", 0, Long.MAX_VALUE) : null;
  }

  /** Identifies the repetitions of a call whose reply was lost. */
  private static String token(Fields fields) {
    String token = fields.has("token") ? fields.text("token") : null;
    if (token != null && !TOKEN.matcher(token).matches()) {
      throw new IllegalArgumentException("\"token\" is 16 to 64 characters of [0-9a-f]");
    }
    return token;
  }

  private static Reply unknown(String path) {
    return Reply.error(404, "unknown-path", "there is no " + path);
  }
}
