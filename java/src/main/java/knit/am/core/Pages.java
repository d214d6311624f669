package knit.am.core;

import java.util.LinkedHashMap;
import java.util.Map;
import knit.am.json.Fields;
import knit.am.json.Json;

/** Web pages of containers that are shown below the application's own: only of the container's own node. */
final class Pages {
  static final int LIMIT = 200;
  private static final String KEY = "p ";

  private static final class Page {
    final String container;
    final String host;
    final int port;
    final String path;

    Page(String container, String host, int port, String path) {
      this.container = container;
      this.host = host;
      this.port = port;
      this.path = path;
    }

    Map<String, Object> record() {
      return Json.map("container", container, "host", host, "port", port, "path", path);
    }
  }

  private final Context context;
  private final Map<String, Page> pages = new LinkedHashMap<>();

  Pages(Context context) {
    this.context = context;
  }

  void add(Event.AddPage event) {
    Container container = context.roster.allocated(event.yarn);
    if (container == null) {
      context.refuse(event, 409, "ended", event.yarn + " has ended");
    } else if (pages.size() >= LIMIT && !pages.containsKey(event.name)) {
      context.refuse(event, 413, "too-many", "there are " + LIMIT + " pages already");
    } else {
      Page page = new Page(container.id(), container.host(), event.port, event.path);
      pages.put(event.name, page);
      context.changes.put(KEY + event.name, page.record());
      context.answer(event, Json.map());
    }
  }

  /** Name to container, host, port and path. */
  Map<String, Object> view() {
    Map<String, Object> view = new LinkedHashMap<>();
    pages.forEach((name, page) -> view.put(name, page.record()));
    return view;
  }

  void dump(Map<String, Object> records) {
    pages.forEach((name, page) -> records.put(KEY + name, page.record()));
  }

  /** Back from the journal; whether the record was one of ours. */
  boolean restore(String name, Object record) {
    if (!name.startsWith(KEY)) {
      return false;
    }
    Fields fields = new Fields(record, name);
    pages.put(name.substring(KEY.length()),
        new Page(fields.text("container"), fields.text("host"), fields.integer("port"), fields.text("path")));
    return true;
  }
}
