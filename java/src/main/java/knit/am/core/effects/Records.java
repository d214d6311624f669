package knit.am.core.effects;

/** Takes records for the journal. */
public interface Records {
  /**
   * @param subject empty for a kind with one record
   * @param record null to delete an earlier one
   */
  void put(RecordKind kind, String subject, Object record);
}
