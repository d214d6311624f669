package knit.am.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class NoncesTest {
  private static final long VALID = Authenticator.VALID;
  private static final long BEGIN = 1_700_000_000_000L;
  private final Nonces nonces = new Nonces(VALID);
  private long number;

  private Nonces.Answer add(String nonce, long time, long now) {
    return nonces.add("container_1", nonce, false, time, now);
  }

  /** A new request whose clock is right. */
  private Nonces.Answer ask(String container, long now) {
    return nonces.add(container, "n" + number++, false, now, now);
  }

  @Test
  void aNonceIsRememberedForAsLongAsItsTimeIsValid() {
    long now = BEGIN + 4_999; // the last moment of a slot
    for (long time : new long[] {now - VALID, now, now + VALID}) {
      String nonce = "n" + time;
      assertEquals(Nonces.Answer.NEW, add(nonce, time, now));
      // To the last millisecond at which the same request would pass the check of its time.
      assertEquals(Nonces.Answer.SEEN, add(nonce, time, time + VALID));
    }
  }

  @Test
  void aRepeatedNonceIsSeenWhateverItsTime() {
    assertEquals(Nonces.Answer.NEW, add("n", 1_000_000, 1_000_000));
    assertEquals(Nonces.Answer.SEEN, add("n", 1_050_000, 1_050_000));
  }

  @Test
  void aClockThatIsSetBackAllowsNoReplay() {
    assertEquals(Nonces.Answer.NEW, add("n", BEGIN, BEGIN));
    assertEquals(Nonces.Answer.NEW, add("m", BEGIN + 3_600_000, BEGIN + 3_600_000));
    assertEquals(Nonces.Answer.STALE, add("n", BEGIN, BEGIN));
  }

  @Test
  void everyReplayIsRefusedWhateverElseIsAsked() {
    Random random = new Random(7);
    Set<String> passed = new HashSet<>();
    for (long now = BEGIN; now < BEGIN + 20 * VALID; now += 97) {
      long time = now - VALID + (long) (random.nextDouble() * 2 * VALID);
      String nonce = "n" + random.nextInt(2_000) + " " + time / 30_000 * 30_000;
      // The same request has the same time: it passes once, or its time is over.
      long meant = time / 30_000 * 30_000;
      if (Math.abs(meant - now) <= VALID && add(nonce, meant, now) == Nonces.Answer.NEW) {
        assertTrue(passed.add(nonce), nonce + " passed twice");
      }
    }
    assertTrue(passed.size() > 2_000, passed.size() + " passed");
  }

  @Test
  void aThousandContainersAskEachSecondForAnHour() {
    long[] most = new long[6];
    for (int second = 0; second < 3_600; second++) {
      for (int i = 0; i < 1_000; i++) {
        assertEquals(Nonces.Answer.NEW, ask("container_" + i, BEGIN + second * 1_000L + i));
      }
      most[second / 600] = Math.max(most[second / 600], nonces.bytes());
    }
    assertTrue(most[5] <= most[0], most[0] + " bytes in the first ten minutes, " + most[5] + " in the last");
    assertTrue(most[5] < 2 << 20, most[5] + " bytes");
  }

  @Test
  void oneContainerThatAsksWithoutEndIsRefusedAndNobodyElse() {
    int refused = 0;
    for (long now = BEGIN; now < BEGIN + 5 * VALID; now += 1_000) {
      for (int i = 0; i < 1_000; i++) {
        refused += ask("mad", now) == Nonces.Answer.FULL ? 1 : 0;
      }
      for (int i = 0; i < 1_000; i++) {
        assertEquals(Nonces.Answer.NEW, ask("container_" + i, now));
      }
      assertEquals(Nonces.Answer.NEW, ask(null, now));
    }
    assertTrue(refused > 150_000, refused + " refused");
  }

  @Test
  void manyContainersThatAskWithoutEndLeaveTheOthersTheirShare() {
    for (long now = BEGIN; now < BEGIN + 3 * VALID; now += 10_000) {
      for (int i = 0; i < 400; i++) {
        for (int mad = 0; mad < 100; mad++) {
          ask("mad_" + mad, now);
        }
      }
      for (int i = 0; i < 1_000; i++) {
        assertEquals(Nonces.Answer.NEW, ask("container_" + i, now));
      }
      assertEquals(Nonces.Answer.NEW, ask(null, now));
      assertTrue(nonces.bytes() < 9 << 20, nonces.bytes() + " bytes");
    }
  }

  @Test
  void whoIsRefusedMayAskAgainLater() {
    while (ask("mad", BEGIN) == Nonces.Answer.NEW) {
      assertTrue(number < HttpLimits.CONTAINER_REQUESTS);
    }
    assertEquals(Nonces.Answer.NEW, ask("mad", BEGIN + VALID / 2 * 3));
    assertEquals(Nonces.Answer.NEW, ask("mad", BEGIN + 10 * VALID));
  }

  @Test
  void theClientThatAsksWithoutEndCanStillEndWhatItBegan() {
    for (int i = 0; i < HttpLimits.CLIENT_REQUESTS - HttpLimits.REQUEST_RESERVE; i++) {
      assertEquals(Nonces.Answer.NEW, ask(null, BEGIN));
    }
    assertEquals(Nonces.Answer.FULL, ask(null, BEGIN));
    assertEquals(Nonces.Answer.NEW, nonces.add(null, "kill", true, BEGIN, BEGIN));
    assertEquals(Nonces.Answer.SEEN, nonces.add(null, "kill", true, BEGIN, BEGIN));
    assertEquals(Nonces.Answer.NEW, ask("container_1", BEGIN));
  }
}
