package knit.am;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import knit.am.core.Reducer;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Identity;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;
import knit.am.gateway.ApplicationFolder;
import knit.am.json.Json;

/**
 * A program that fills the store and the results of an application up to their limits, writes the journal, takes it up as the
 * next attempt does and writes the result. Arguments: how many instances, and a folder.
 */
public final class FullStore {
  /** As many small numbers as make a value large: as a tree they would be many times as large. */
  private static final int NUMBERS = 60_000;

  private FullStore() {}

  /** The folder on this machine. */
  private static final class Files implements ApplicationFolder {
    private final File folder;

    Files(File folder) {
      this.folder = folder;
    }

    @Override
    public void replace(String name, Content content) throws IOException {
      try (OutputStream out = new FileOutputStream(new File(folder, name))) {
        content.writeTo(out);
      }
    }

    @Override
    public ClientFile read(String name, long known, int limit) {
      return null;
    }

    @Override
    public boolean readJournal(Consumer<String> lines) throws IOException {
      try (BufferedReader reader = new BufferedReader(
          new InputStreamReader(new FileInputStream(new File(folder, "journal")), StandardCharsets.US_ASCII))) {
        for (String line = reader.readLine(); line != null; line = reader.readLine()) {
          lines.accept(line);
        }
      }
      return true;
    }

    @Override
    public JournalFile beginJournal(int segment, Content first) throws IOException {
      replace("journal", first);
      return new JournalFile() {
        @Override
        public void append(byte[] lines) {
          throw new UnsupportedOperationException();
        }

        @Override
        public void check() {
          // It is there.
        }
      };
    }
  }

  public static void main(String[] arguments) throws Exception {
    int instances = Integer.parseInt(arguments[0]);
    ApplicationFolder store = new Files(new File(arguments[1]));
    Spec spec = Specs.of(instances, 0);
    fill(spec, instances, store);
    Reducer next = new Reducer(new Identity("application_1_0001", 2, "alice"), spec);
    next.restore(JournalWriter.read(store));
    next.apply(new Event.Started(1));
    List<Grant> previous = new ArrayList<>();
    for (int i = 1; i <= instances; i++) {
      previous.add(grant(i));
    }
    next.apply(new Event.Registered(1, previous));
    next.apply(new Call.Shutdown(2, "", null, Outcome.SUCCEEDED, ""));
    for (int i = 1; i <= instances; i++) {
      for (Action action : next.apply(new Event.Completed(3, grant(i).yarn, 143, ""))) {
        if (action instanceof Action.WriteResult) {
          store.replace("result.json", out -> Json.write(out, ((Action.WriteResult) action).result));
        }
      }
    }
  }

  private static Grant grant(int i) {
    return new Grant("container_e17_1700000000000_0001_01_" + (1_000_000 + i), i, "node07:8041", "node07:8042");
  }

  private static void fill(Spec spec, int instances, ApplicationFolder store) throws Exception {
    Reducer core = new Reducer(new Identity("application_1_0001", 1, "alice"), spec);
    core.apply(new Event.Started(1));
    core.apply(new Event.Registered(1, Collections.emptyList()));
    for (int i = 1; i <= instances; i++) {
      core.apply(new Event.Allocated(1, Collections.singletonList(grant(i))));
      core.apply(new Event.Launched(1, grant(i).yarn));
    }
    List<Object> numbers = new ArrayList<>(Collections.nCopies(NUMBERS, 7L));
    int results = 0;
    while (taken(core, new Call.Returned(1, "", grant(++results).yarn, new Json.Raw(numbers)))) {
      core.changes();
    }
    int keys = 0;
    while (taken(core, new Call.KvPut(1, "", null, "key" + ++keys, new Json.Raw(numbers), null, null))) {
      core.changes();
    }
    System.out.println("refused result " + results + " and key " + keys);
    JournalWriter journal = new JournalWriter(store, () -> { }, () -> false, () -> { });
    journal.begin(core.dump());
    Thread writer = EventLoop.daemon(journal, "journal");
    writer.start();
    while (!journal.isDurable()) {
      Thread.sleep(5);
    }
    writer.interrupt();
    writer.join();
  }

  private static boolean taken(Reducer core, Event event) {
    for (Action action : core.apply(event)) {
      if (action instanceof Action.Answer) {
        Map<String, Object> body = ((Action.Answer) action).body;
        if (((Action.Answer) action).status == 413) {
          System.out.println(body.get("error") + ": " + body.get("message"));
          return false;
        }
      }
    }
    return true;
  }
}
