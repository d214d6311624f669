package knit.am.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class OpenCallLimitTest {
  private final OpenCallLimit open = new OpenCallLimit(112L << 20);

  private int openAll(String container, boolean ends) {
    int count = 0;
    while (open.begin(container, ends)) {
      count++;
      assertTrue(count < 10_000);
    }
    return count;
  }

  @Test
  void whatAllTakeIsBoundedByTheHeap() {
    assertEquals(1_911, open.ofClient + open.ofContainers);
    assertEquals(512, new OpenCallLimit(1 << 20).ofClient * 4);
    assertEquals(6_000, new OpenCallLimit(1L << 40).ofClient * 4);
  }

  @Test
  void oneContainerThatOpensCallsWithoutEndIsRefusedAndNobodyElse() {
    int mad = openAll("mad", false);
    assertTrue(mad > 50 && mad < 100, mad + " open");
    for (int i = 0; i < 1_000; i++) {
      assertTrue(open.begin("container_" + i, false), "container " + i);
    }
    assertFalse(open.begin("mad", true));
    assertTrue(open.begin(null, false));
    open.end("mad");
    assertTrue(open.count() > 1_000);
  }

  @Test
  void whenContainersHaveTakenAllTheClientStillHasItsPart() {
    for (int i = 0; i < open.ofContainers; i++) {
      assertTrue(open.begin("container_" + i, false));
    }
    assertFalse(open.begin("container_x", false));
    assertEquals(open.ofClient - HttpLimits.OPEN_RESERVE, openAll(null, false));
    assertEquals(HttpLimits.OPEN_RESERVE, openAll(null, true));
    open.end("container_0");
    assertTrue(open.begin("container_x", false));
  }

  @Test
  void callsAreHeldForShorterWhileMostPlacesAreTaken() {
    assertEquals(HttpLimits.MAX_WAIT, open.longest("container_1"));
    for (int i = 0; i <= open.ofContainers / 2; i++) {
      open.begin("container_" + i, false);
    }
    assertEquals(HttpLimits.SHORT_WAIT, open.longest("container_1"));
    assertEquals(HttpLimits.MAX_WAIT, open.longest(null));
  }

  @Test
  void nothingIsLeftWhenAllHaveEnded() {
    for (int i = 0; i < 100; i++) {
      open.begin("container_" + i % 10, false);
    }
    for (int i = 0; i < 100; i++) {
      open.end("container_" + i % 10);
    }
    assertEquals(0, open.count());
    assertTrue(openAll("container_1", false) > 50);
  }
}
