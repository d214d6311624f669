package knit.am.core.effects;

/**
 * The kinds of journal records: docs/protocol.md, section 8. A record's key is its kind's prefix and, for a kind of which there are
 * several records, a space and the subject.
 */
public enum RecordKind {
  /** Start, progress and outcome of the application. */
  APPLICATION("a", false),
  /** By service. */
  SERVICE("s", true),
  /** The earlier attempts of an instance, by {@code main_0}. */
  HISTORY("h", true),
  /** By {@code main_0/2}. */
  CONTAINER("c", true),
  /** The value that an instance returned, by {@code main_0}. */
  RESULT("r", true),
  /** A value of the key-value store, by key. */
  KV_ENTRY("k", true),
  /** The next number below a prefix, by prefix. */
  KV_COUNTER("n", true),
  /** The newest revision of the key-value store. */
  KV_REVISION("kv", false),
  /** By name. */
  BARRIER("b", true),
  /** By instance, a space, and the name of the barrier. */
  ARRIVAL("w", true),
  /** A container's web page, by name. */
  PAGE("p", true),
  /** The reply to a call, by the call's token. */
  TOKEN("t", true),
  /** An entry of the timeline, by number. */
  TIMELINE("e", true);

  private final String prefix;
  private final boolean several;

  RecordKind(String prefix, boolean several) {
    this.prefix = prefix;
    this.several = several;
  }

  /** @param subject empty for a kind with one record */
  public String key(String subject) {
    return several ? prefix + " " + subject : prefix;
  }

  public String subject(String key) {
    return several ? key.substring(prefix.length() + 1) : "";
  }

  private boolean isKindOf(String key) {
    return several ? key.startsWith(prefix + " ") : key.equals(prefix);
  }

  /** @throws IllegalArgumentException if no kind has such keys */
  public static RecordKind of(String key) {
    for (RecordKind kind : values()) {
      if (kind.isKindOf(key)) {
        return kind;
      }
    }
    throw new IllegalArgumentException("the journal has an unknown record: " + key);
  }

  /** Whether a record is a caller's value, which is kept as text. */
  public static boolean isText(String key) {
    return RESULT.isKindOf(key);
  }
}
