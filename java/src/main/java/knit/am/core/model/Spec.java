package knit.am.core.model;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import knit.am.json.Fields;
import knit.am.json.Json;

/** What to run: {@code knit-app.json} (docs/protocol.md, section 2), checked and immutable. */
public final class Spec {
  public static final int MAX_INSTANCES = 100_000;
  private static final long MAX_SPAN = 10_000_000_000_000L;

  public final String name;
  public final String user;
  public final String staging;
  public final List<String> webhdfs;
  public final boolean simple;
  public final int firstPort;
  public final int lastPort;
  /** Seconds, 0: none. */
  public final long lifetime;
  /** Whether another attempt may follow, so that a journal is needed. */
  public final boolean journal;
  /** The application succeeds when all instances of these services have. */
  public final List<String> completion;
  /** Failures on one node within ten minutes after which it is avoided, 0 for never. */
  public final int nodeFailures;
  /** Further users that may view and modify, in YARN's form. */
  public final String viewers;
  public final String modifiers;
  public final Map<String, Service> services;

  /** One service: equal containers, distinguished by their rank. */
  public static final class Service {
    public final String name;
    /** Position among the services, which is the priority of its requests. */
    public final int index;
    public final int instances;
    /** MiB. */
    public final long memory;
    public final int vcores;
    public final Map<String, Long> resources;
    public final String script;
    public final Map<String, String> env;
    public final List<File> files;
    /** Node label expression, empty for the queue's default. */
    public final String label;
    public final List<String> nodes;
    public final List<String> racks;
    /** Whether other nodes are allowed when those are full. */
    public final boolean relax;
    /** No two instances on one node. */
    public final boolean spread;
    public final boolean opportunistic;
    /** What other services must reach first. */
    public final Map<String, Condition> depends;
    /** Null when a running container counts as ready. */
    public final Readiness readiness;
    public final Restart restart;
    /** Milliseconds in which all instances must be allocated; 0: they start one by one. */
    public final long gang;
    /** Milliseconds between SIGTERM and the stop by the NodeManager. */
    public final long grace;
    public final Set<Integer> success;
    public final Set<Integer> fatal;
    /** Whether the application fails when an instance has failed for good. */
    public final boolean required;
    /** Whether its containers may scale services and end containers and the application. */
    public final boolean manages;

    Service(String name, int index, Fields fields) {
      this.name = name;
      this.index = index;
      String place = "knit-app.json.services." + name;
      instances = (int) fields.whole("instances", 0, MAX_INSTANCES);
      memory = fields.whole("memory", 1, Integer.MAX_VALUE);
      vcores = (int) fields.whole("vcores", 1, Integer.MAX_VALUE);
      Map<String, Long> amounts = new LinkedHashMap<>();
      Fields named = fields.object("resources");
      for (String resource : named.names()) {
        amounts.put(resource, named.whole(resource, 0, Long.MAX_VALUE));
      }
      resources = Collections.unmodifiableMap(amounts);
      script = fields.text("script");
      Map<String, String> variables = new LinkedHashMap<>();
      named = fields.object("env");
      for (String variable : named.names()) {
        variables.put(variable, named.text(variable));
      }
      env = Collections.unmodifiableMap(variables);
      List<File> localised = new ArrayList<>();
      for (Object file : fields.list("files")) {
        localised.add(new File(new Fields(file, place + ".files")));
      }
      files = Collections.unmodifiableList(localised);
      label = fields.text("label");
      nodes = Collections.unmodifiableList(fields.texts("nodes"));
      racks = Collections.unmodifiableList(fields.texts("racks"));
      relax = fields.flag("relax");
      spread = fields.flag("spread");
      opportunistic = fields.flag("opportunistic");
      Map<String, Condition> conditions = new LinkedHashMap<>();
      named = fields.object("depends");
      for (String other : named.names()) {
        conditions.put(other, Condition.valueOf(named.one(other, "started", "ready", "succeeded").toUpperCase(Locale.ROOT)));
      }
      depends = Collections.unmodifiableMap(conditions);
      readiness = fields.has("readiness") ? new Readiness(fields.object("readiness")) : null;
      restart = new Restart(fields.object("restart"));
      gang = fields.whole("gang", 0, MAX_SPAN);
      grace = fields.whole("grace", 0, MAX_SPAN);
      success = codes(fields, "success");
      fatal = codes(fields, "fatal");
      required = fields.flag("required");
      manages = fields.flag("manages");
      fields.end();
    }

    private static Set<Integer> codes(Fields fields, String name) {
      Set<Integer> codes = new HashSet<>();
      for (Object code : fields.list(name)) {
        if (!(code instanceof Long)) {
          throw new IllegalArgumentException("knit-app.json: \"" + name + "\" holds something that is no exit code");
        }
        codes.add(((Long) code).intValue());
      }
      return Collections.unmodifiableSet(codes);
    }
  }

  /** What another service must have reached. */
  public enum Condition {
    STARTED,
    READY,
    SUCCEEDED
  }

  /** How an instance becomes ready. */
  public static final class Readiness {
    /** How readiness is checked. */
    public enum Kind {
      HTTP,
      TCP,
      COMMAND,
      REPORT
    }

    public final Kind kind;
    public final int port;
    public final String path;
    public final long interval;
    public final long timeout;
    /** Milliseconds from its start in which it must become ready, 0 for none. */
    public final long deadline;

    Readiness(Fields fields) {
      kind = Kind.valueOf(fields.one("kind", "http", "tcp", "command", "report").toUpperCase(Locale.ROOT));
      port = probed() ? (int) fields.whole("port", 1, 65535) : 0;
      path = kind == Kind.HTTP ? fields.text("path") : "";
      interval = fields.whole("interval", 100, MAX_SPAN);
      timeout = fields.whole("timeout", 100, MAX_SPAN);
      deadline = fields.whole("deadline", 0, MAX_SPAN);
      fields.end();
    }

    /** Whether the ApplicationMaster probes; else the container reports. */
    public boolean probed() {
      return kind == Kind.HTTP || kind == Kind.TCP;
    }
  }

  /** When an instance is restarted. */
  public static final class Restart {
    /** After which ends. */
    public enum Policy {
      NEVER,
      ON_FAILURE,
      ALWAYS
    }

    public final Policy policy;
    /** How often within the window; -1: without limit. */
    public final int limit;
    /** Milliseconds, 0 for the instance's whole life. */
    public final long window;
    public final long firstDelay;
    public final long longestDelay;

    Restart(Fields fields) {
      policy = Policy.valueOf(
          fields.one("policy", "never", "on-failure", "always").replace('-', '_').toUpperCase(Locale.ROOT));
      limit = (int) fields.whole("limit", -1, Integer.MAX_VALUE);
      window = fields.whole("window", 0, MAX_SPAN);
      firstDelay = fields.whole("firstDelay", 0, MAX_SPAN);
      longestDelay = fields.whole("longestDelay", 0, MAX_SPAN);
      fields.end();
    }
  }

  /** One file or archive that the NodeManager localises for a container. */
  public static final class File {
    public final String link;
    public final String url;
    public final long size;
    public final long timestamp;
    public final String type;
    public final String visibility;

    File(Fields fields) {
      link = fields.text("link");
      url = fields.text("url");
      size = fields.whole("size", 0, Long.MAX_VALUE);
      timestamp = fields.whole("timestamp", 0, Long.MAX_VALUE);
      type = fields.one("type", "FILE", "ARCHIVE");
      visibility = fields.one("visibility", "PUBLIC", "PRIVATE", "APPLICATION");
      fields.end();
    }
  }

  private Spec(Fields fields) {
    fields.whole("format", 2, 2);
    name = fields.text("name");
    user = fields.text("user");
    staging = fields.text("staging");
    webhdfs = Collections.unmodifiableList(fields.texts("webhdfs"));
    simple = fields.flag("simple");
    List<Object> ports = fields.list("ports");
    if (ports.size() != 2 || !(ports.get(0) instanceof Long) || !(ports.get(1) instanceof Long)) {
      throw new IllegalArgumentException("knit-app.json: \"ports\" is not a pair of whole numbers");
    }
    firstPort = port(ports.get(0));
    lastPort = port(ports.get(1));
    if (lastPort < firstPort) {
      throw new IllegalArgumentException("knit-app.json: \"ports\" is not a range: " + ports);
    }
    lifetime = fields.whole("lifetime", 0, MAX_SPAN);
    journal = fields.flag("journal");
    completion = Collections.unmodifiableList(fields.texts("completion"));
    nodeFailures = (int) fields.whole("nodeFailures", 0, Integer.MAX_VALUE);
    Fields acls = fields.object("acls");
    viewers = acls.text("view");
    modifiers = acls.text("modify");
    acls.end();
    Fields named = fields.object("services");
    Map<String, Service> map = new LinkedHashMap<>();
    for (String service : named.names()) {
      map.put(service, new Service(service, map.size(), named.object(service)));
    }
    services = Collections.unmodifiableMap(map);
    fields.end();
    for (String service : completion) {
      known(service);
    }
    for (Service service : services.values()) {
      service.depends.keySet().forEach(this::known);
    }
  }

  private void known(String service) {
    if (!services.containsKey(service)) {
      throw new IllegalArgumentException("knit-app.json: there is no service \"" + service + "\"");
    }
  }

  private static int port(Object value) {
    long number = (Long) value;
    if (number < 0 || number > 65535) {
      throw new IllegalArgumentException("knit-app.json: " + number + " is not a port");
    }
    return (int) number;
  }

  /**
   * @param text the bytes of knit-app.json
   * @throws IllegalArgumentException if a field is wrong, missing or unknown; the message names it
   */
  public static Spec parse(byte[] text) {
    return new Spec(new Fields(Json.parse(text), "knit-app.json"));
  }
}
