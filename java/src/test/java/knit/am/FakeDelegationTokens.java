package knit.am;

import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import knit.am.gateway.DelegationTokens;
import knit.am.json.Json;

/** Has one token, or newer ones when a test says so. */
public final class FakeDelegationTokens implements DelegationTokens {
  public volatile int newer;
  /** Why the file cannot be read, null if it can. */
  public volatile String problem;
  public final AtomicInteger reads = new AtomicInteger();

  @Override
  public List<Map<String, Object>> facts() {
    return Collections.singletonList(Json.map("kind", "HDFS_DELEGATION_TOKEN", "service", "ha-hdfs:ns", "issued", 1L, "ends", 2L,
        "pushed", newer > 0));
  }

  @Override
  public int read() throws IOException {
    reads.incrementAndGet();
    if (problem != null) {
      throw new IOException(problem);
    }
    return newer;
  }
}
