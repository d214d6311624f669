package knit.am;

import java.nio.charset.StandardCharsets;
import knit.am.core.model.Spec;

/** Applications to test with. */
public final class Specs {
  private Specs() {}

  /** What services have that say nothing else. */
  private static final String SERVICE = "\"memory\":128,\"vcores\":1,\"resources\":{\"yarn.io/gpu\":1},"
      + "\"script\":\"knit-main.sh\",\"env\":{\"A\":\"b\"},\"files\":[{\"link\":\"knit-main.sh\",\"url\":\"hdfs://nn/x\","
      + "\"size\":1,\"timestamp\":2,\"type\":\"FILE\",\"visibility\":\"PRIVATE\"}],\"label\":\"\",\"nodes\":[],\"racks\":[],"
      + "\"relax\":false,\"spread\":false,\"opportunistic\":false,\"depends\":{},\"restart\":{\"policy\":\"never\",\"limit\":0,"
      + "\"window\":0,\"firstDelay\":1000,\"longestDelay\":60000},\"gang\":0,\"grace\":0,\"success\":[0],\"fatal\":[],"
      + "\"required\":true,\"manages\":false";

  public static String json(int instances, long lifetime) {
    return json(lifetime, "[\"main\"]", service("main", instances));
  }

  /**
   * @param completion as JSON
   * @param services each made by {@link #service}
   */
  public static String json(long lifetime, String completion, String... services) {
    return "{\"format\":2,\"name\":\"t\",\"user\":\"alice\",\"staging\":\"hdfs://nn:9820/user/alice/.knit\","
        + "\"webhdfs\":[\"http://nn:9870\",\"http://nn2:9870\"],\"simple\":true,\"ports\":[0,0],\"lifetime\":" + lifetime
        + ",\"journal\":true,\"completion\":" + completion + ",\"nodeFailures\":3,\"acls\":{\"view\":\"\",\"modify\":\"\"},"
        + "\"services\":{" + String.join(",", services) + "}}";
  }

  /**
   * @param changes name and JSON of fields that differ from the defaults, in turn
   */
  public static String service(String name, int instances, String... changes) {
    String service = "\"instances\":" + instances + "," + SERVICE;
    for (int i = 0; i < changes.length; i += 2) {
      String changed = service.replaceFirst("\"" + changes[i] + "\":(\\{[^}]*\\}|\\[[^\\]]*\\]|[^,\\[{]*)",
          java.util.regex.Matcher.quoteReplacement("\"" + changes[i] + "\":" + changes[i + 1]));
      service = changed.equals(service) ? service + ",\"" + changes[i] + "\":" + changes[i + 1] : changed;
    }
    return "\"" + name + "\":{" + service + "}";
  }

  public static Spec of(int instances, long lifetime) {
    return parse(json(instances, lifetime));
  }

  public static Spec of(String... services) {
    return of("[\"main\"]", services);
  }

  public static Spec of(String completion, String[] services) {
    return parse(json(0, completion, services));
  }

  /** On a cluster with Kerberos. */
  public static Spec secure(int instances) {
    return parse(json(instances, 0).replace("\"simple\":true", "\"simple\":false"));
  }

  private static Spec parse(String json) {
    return Spec.parse(json.getBytes(StandardCharsets.UTF_8));
  }
}
