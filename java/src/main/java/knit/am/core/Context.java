package knit.am.core;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import knit.am.json.Json;

/** What the parts of the reducer share: who we are, what there is, and what the present event leads to. */
final class Context {
  final Identity identity;
  final Spec spec;
  final Alarms alarms = new Alarms();
  final Changes changes = new Changes(alarms);
  final EventLog log = new EventLog(changes);
  final ContainerRegistry roster;
  final Instances instances;
  final Services services;
  final Lifecycle ending;
  final Results results = new Results(changes);
  final Tokens tokens = new Tokens(changes);
  final Waiters waiters;
  final Pages pages;
  private List<Action> actions = new ArrayList<>();

  Context(Identity identity, Spec spec) {
    this.identity = identity;
    this.spec = spec;
    roster = new ContainerRegistry(spec, changes);
    waiters = new Waiters(this);
    pages = new Pages(this);
    services = new Services(this);
    ending = new Lifecycle(this);
    instances = new Instances(this);
  }

  void act(Action action) {
    actions.add(action);
  }

  List<Action> takeActions() {
    List<Action> taken = actions;
    actions = new ArrayList<>();
    return taken;
  }

  /** Reply to a call that was done. */
  void answer(Event.Call call, Map<String, Object> body) {
    tokens.done(call, body);
    act(new Action.Answer(call.ticket, 200, body));
  }

  /** Reply to a call as before, if it was done before. */
  boolean repeat(Event.Call call) {
    Map<String, Object> before = tokens.reply(call);
    if (before != null) {
      act(new Action.Answer(call.ticket, 200, before));
    }
    return before != null;
  }

  void refuse(Event.Call call, int status, String code, String message, Object... more) {
    Map<String, Object> body = Json.map("error", code, "message", message);
    body.putAll(Json.map(more));
    act(new Action.Answer(call.ticket, status, body));
  }
}
