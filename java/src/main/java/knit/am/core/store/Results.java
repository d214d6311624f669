package knit.am.core.store;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import knit.am.core.effects.Changes;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.json.Json;

/** The values that instances returned, by service and rank. Their total size is bounded. */
final class Results {
  static final int LIMIT = 16 << 20;

  private final Changes changes;
  private final Map<String, TreeMap<Integer, Json.Raw>> values = new LinkedHashMap<>();
  private long size;

  Results(Changes changes) {
    this.changes = changes;
  }

  /**
   * Replace the value of an instance.
   *
   * @return false if the total would be too large
   */
  boolean put(String service, int rank, Json.Raw value) {
    TreeMap<Integer, Json.Raw> ranks = values.computeIfAbsent(service, name -> new TreeMap<>());
    Json.Raw before = ranks.get(rank);
    long after = size + value.text.length() - (before == null ? 0 : before.text.length());
    if (after > LIMIT) {
      return false;
    }
    size = after;
    ranks.put(rank, value);
    changes.put(RecordKind.RESULT, service + "_" + rank, value);
    return true;
  }

  Map<String, TreeMap<Integer, Json.Raw>> copy() {
    Map<String, TreeMap<Integer, Json.Raw>> copy = new LinkedHashMap<>();
    values.forEach((service, ranks) -> copy.put(service, new TreeMap<>(ranks)));
    return copy;
  }

  void dump(Records records) {
    values.forEach((service, ranks) ->
        ranks.forEach((rank, value) -> records.put(RecordKind.RESULT, service + "_" + rank, value)));
  }

  void restore(String instance, Object value) {
    int cut = instance.lastIndexOf('_');
    put(instance.substring(0, cut), Integer.parseInt(instance.substring(cut + 1)), new Json.Raw(value));
  }
}
