package knit.am.core.store;

import java.util.LinkedHashMap;
import java.util.Map;
import knit.am.core.application.Container;
import knit.am.core.application.ContainerRegistry;
import knit.am.core.effects.Effects;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.message.Call;
import knit.am.json.Fields;
import knit.am.json.Json;

/**
 * Web pages of containers, to which the application's web page forwards: on the container's own node, until the container has
 * ended. Then another process may use its port.
 */
final class ContainerPages {
  static final int LIMIT = 200;
  /** Pages of one container. */
  static final int EACH = 20;

  private static final class Page {
    final String container;
    /** YARN's id of the container. */
    final String yarn;
    final String host;
    final int port;
    final String path;

    Page(String container, String yarn, String host, int port, String path) {
      this.container = container;
      this.yarn = yarn;
      this.host = host;
      this.port = port;
      this.path = path;
    }

    Map<String, Object> view() {
      return Json.map("container", container, "host", host, "port", port, "path", path);
    }

    Map<String, Object> record() {
      Map<String, Object> record = view();
      record.put("yarn", yarn);
      return record;
    }
  }

  private final Effects effects;
  private final ContainerRegistry registry;
  private final Map<String, Page> pages = new LinkedHashMap<>();

  ContainerPages(Effects effects, ContainerRegistry registry) {
    this.effects = effects;
    this.registry = registry;
  }

  void add(Call.AddPage event) {
    Container container = registry.allocated(event.yarn);
    if (container == null) {
      effects.refuse(event, 409, "ended", event.yarn + " has ended");
    } else if (pages.size() >= LIMIT && !pages.containsKey(event.name)) {
      effects.refuse(event, 413, "too-many", "there are " + LIMIT + " pages already");
    } else if (countOf(event.yarn) >= EACH && !isOf(event.yarn, event.name)) {
      effects.refuse(event, 413, "too-many", container.id() + " has " + EACH + " pages already");
    } else {
      Page page = new Page(container.id(), event.yarn, container.host(), event.port, event.path);
      pages.put(event.name, page);
      effects.changes.put(RecordKind.PAGE, event.name, page.record());
      effects.answer(event, Json.map());
    }
  }

  private boolean isOf(String yarn, String name) {
    return pages.containsKey(name) && pages.get(name).yarn.equals(yarn);
  }

  private int countOf(String yarn) {
    int count = 0;
    for (Page page : pages.values()) {
      count += page.yarn.equals(yarn) ? 1 : 0;
    }
    return count;
  }

  /** A container has ended. */
  void ended(String yarn) {
    pages.entrySet().removeIf(entry -> {
      boolean its = entry.getValue().yarn.equals(yarn);
      if (its) {
        effects.changes.put(RecordKind.PAGE, entry.getKey(), null);
      }
      return its;
    });
  }

  /** Name to container, host, port and path. */
  Map<String, Object> view() {
    Map<String, Object> view = new LinkedHashMap<>();
    pages.forEach((name, page) -> view.put(name, page.view()));
    return view;
  }

  void dump(Records records) {
    pages.forEach((name, page) -> records.put(RecordKind.PAGE, name, page.record()));
  }

  void restore(String name, Fields fields) {
    pages.put(name, new Page(fields.text("container"), fields.text("yarn"), fields.text("host"), fields.integer("port"),
        fields.text("path")));
  }
}
