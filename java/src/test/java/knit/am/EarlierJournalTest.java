package knit.am;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import knit.am.core.Reducer;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Identity;
import knit.am.core.model.Spec;
import knit.am.json.Json;
import org.junit.jupiter.api.Test;

/**
 * A journal of version 1.0.0, with every kind of record, is taken over as that version did. Such an application may run while
 * Knit is upgraded, and a test that fails here says that its next attempt could not go on.
 */
class EarlierJournalTest {
  private static final long AT = 1_700_000_042_000L;

  private static List<String> lines(String name) throws Exception {
    Path file = Paths.get(EarlierJournalTest.class.getResource("/" + name).toURI());
    return Files.readAllLines(file, StandardCharsets.UTF_8);
  }

  private static Spec spec() {
    return Specs.of("[\"main\"]", new String[] {
        Specs.service("db", 3, "gang", "60000", "restart",
            "{\"policy\":\"on-failure\",\"limit\":5,\"window\":60000,\"firstDelay\":1000,\"longestDelay\":8000}", "readiness",
            "{\"kind\":\"report\",\"interval\":500,\"timeout\":300,\"deadline\":20000}"),
        Specs.service("main", 2, "depends", "{\"db\":\"ready\"}")});
  }

  private static Grant grant(int number, String host) {
    return new Grant("container_" + number, number, host + ":8041", host + ":8042");
  }

  @Test
  void aJournalOfTheFirstVersionIsTakenOver() throws Exception {
    Reducer reducer = new Reducer(new Identity("application_1_0001", 2, "alice"), spec());
    reducer.restore(JournalWriter.read(new FakeApplicationFolder() {
      @Override
      public boolean readJournal(Consumer<String> to) throws IOException {
        try {
          lines("journal-1.0.0.txt").forEach(to);
        } catch (Exception error) {
          throw new IOException(error);
        }
        return true;
      }
    }));
    List<String> found = new ArrayList<>();
    reducer.dump().forEach((key, record) -> found.add(Json.write(Arrays.asList(key, record))));
    for (Event event : Arrays.asList(new Event.Started(AT),
        new Event.Registered(AT, Arrays.asList(grant(2, "b"), grant(4, "d"), grant(6, "e"), grant(9, "f"))),
        new Event.Tick(AT + 10_000), new Call.Read(AT + 10_000, "", Call.What.PAGE),
        new Call.Read(AT + 10_000, "", Call.What.RESULTS), new Call.KvList(AT + 10_000, "", "", -1, true, 0),
        new Call.ReadEvents(AT + 10_000, "", 0, 1_000, 0))) {
      reducer.apply(event).forEach(action -> found.add(shown(action)));
    }
    assertEquals(String.join("\n", lines("journal-1.0.0-taken-over.txt")), String.join("\n", found));
  }

  private static String shown(Action action) {
    String name = action.getClass().getSimpleName();
    if (action instanceof Action.Answer) {
      return Json.write(((Action.Answer) action).body);
    } else if (action instanceof Action.Request) {
      return name + " " + ((Action.Request) action).request;
    } else if (action instanceof Action.Release) {
      return name + " " + ((Action.Release) action).yarn;
    } else if (action instanceof Action.Cancel) {
      return name + " " + ((Action.Cancel) action).request;
    }
    return action instanceof Action.Launch ? name + " " + ((Action.Launch) action).yarn : name;
  }
}
