package knit.am.core.store;

import java.util.Map;
import knit.am.core.application.Application;
import knit.am.core.application.Container;
import knit.am.core.application.ContainerRegistry;
import knit.am.core.effects.Effects;
import knit.am.core.effects.RecordKind;
import knit.am.core.effects.Records;
import knit.am.core.message.Call;
import knit.am.json.Fields;
import knit.am.json.Json;

/** What the ApplicationMaster keeps for containers' programs: the key-value store, barriers, results and web pages. */
public final class SharedStore implements Application.Store {
  private final Effects effects;
  private final ContainerRegistry registry;
  private final Kv kv;
  private final Barriers barriers;
  private final Results results;
  private final ContainerPages pages;

  public SharedStore(Effects effects, ContainerRegistry registry) {
    this.effects = effects;
    this.registry = registry;
    kv = new Kv(effects);
    barriers = new Barriers(effects, registry);
    results = new Results(effects.changes);
    pages = new ContainerPages(effects, registry);
  }

  /**
   * Carry out a call.
   *
   * @return whether it is one of this package
   */
  public boolean call(Call call) {
    if (call instanceof Call.KvPut) {
      kv.put((Call.KvPut) call);
    } else if (call instanceof Call.KvGet) {
      kv.get((Call.KvGet) call);
    } else if (call instanceof Call.KvList) {
      kv.list((Call.KvList) call);
    } else if (call instanceof Call.KvDelete) {
      kv.delete((Call.KvDelete) call);
    } else if (call instanceof Call.KvAppend) {
      kv.append((Call.KvAppend) call);
    } else if (call instanceof Call.Arrive) {
      barriers.arrive((Call.Arrive) call);
    } else if (call instanceof Call.Returned) {
      returned((Call.Returned) call);
    } else if (call instanceof Call.AddPage) {
      pages.add((Call.AddPage) call);
    } else {
      return false;
    }
    return true;
  }

  private void returned(Call.Returned call) {
    Container container = registry.allocated(call.yarn);
    if (results.put(container.service, container.instance, call.value)) {
      effects.answer(call, Json.map());
    } else {
      effects.refuse(call, 413, "too-large",
          "the results of all instances together are over " + Results.LIMIT + " bytes");
    }
  }

  @Override
  public void containerEnded(String yarn) {
    pages.ended(yarn);
  }

  @Override
  public void instancesChanged(String service) {
    barriers.changed(service);
  }

  @Override
  public Map<String, Object> pages() {
    return pages.view();
  }

  @Override
  public Map<String, ?> results() {
    return results.copy();
  }

  /** Add everything to the records of a new journal. */
  public void dump(Records records) {
    results.dump(records);
    kv.dump(records);
    barriers.dump(records);
    pages.dump(records);
  }

  /**
   * Restore a record from the journal.
   *
   * @return whether it is a record of this package
   */
  public boolean restore(RecordKind kind, String subject, Object record) {
    if (kind == RecordKind.RESULT) {
      results.restore(subject, record);
    } else if (kind == RecordKind.KV_ENTRY) {
      kv.restore(subject, new Fields(record, kind.key(subject)));
    } else if (kind == RecordKind.KV_COUNTER) {
      kv.restoreCounter(subject, (Long) record);
    } else if (kind == RecordKind.KV_REVISION) {
      kv.restoreRevision((Long) record);
    } else if (kind == RecordKind.BARRIER) {
      barriers.restore(subject, new Fields(record, kind.key(subject)));
    } else if (kind == RecordKind.ARRIVAL) {
      barriers.restoreArrival(subject);
    } else if (kind == RecordKind.PAGE) {
      pages.restore(subject, new Fields(record, kind.key(subject)));
    } else {
      return false;
    }
    return true;
  }
}
