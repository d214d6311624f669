package knit.am.api;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class NoncesTest {
  private static final long VALID = 300_000;
  private final Nonces nonces = new Nonces();

  @Test
  void aNonceIsRememberedForAsLongAsItsTimeIsValid() {
    long now = 1_700_000_009_999L; // the last moment of a slot
    for (long time : new long[] {now - VALID, now, now + VALID}) {
      String nonce = "n" + time;
      assertEquals(Nonces.Answer.NEW, nonces.add(nonce, time, VALID, now));
      // To the last millisecond at which the same request would pass the check of its time.
      assertEquals(Nonces.Answer.SEEN, nonces.add(nonce, time, VALID, time + VALID));
    }
  }

  @Test
  void oldOnesAreForgotten() {
    long now = 1_700_000_000_000L;
    for (int i = 0; i < 1000; i++) {
      nonces.add("n" + i, now + i * 1000, VALID, now + i * 1000);
    }
    assertEquals(true, nonces.size() <= 320, nonces.size() + " kept");
  }

  @Test
  void aRepeatedNonceIsSeenWhateverItsTime() {
    assertEquals(Nonces.Answer.NEW, nonces.add("n", 1_000_000, VALID, 1_000_000));
    assertEquals(Nonces.Answer.SEEN, nonces.add("n", 1_100_000, VALID, 1_100_000));
  }

  @Test
  void thereIsALimit() {
    for (int i = 0; i < Nonces.LIMIT; i++) {
      nonces.add("n" + i, 1_000_000, VALID, 1_000_000);
    }
    assertEquals(Nonces.Answer.FULL, nonces.add("x", 1_000_000, VALID, 1_000_000));
    assertEquals(Nonces.Answer.SEEN, nonces.add("n7", 1_000_000, VALID, 1_000_000));
  }
}
