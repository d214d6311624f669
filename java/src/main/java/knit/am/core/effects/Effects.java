package knit.am.core.effects;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.model.Identity;
import knit.am.core.model.Spec;
import knit.am.json.Json;

/** What an event leads to: actions, replies, alarms, journal records and timeline entries. All parts of the reducer share it. */
public final class Effects {
  public final Identity identity;
  public final Spec spec;
  public final Alarms alarms = new Alarms();
  public final Changes changes = new Changes(alarms);
  public final Timeline timeline = new Timeline(changes);
  public final Waiters waiters = new Waiters(this);
  public final Tokens tokens = new Tokens(changes);
  private List<Action> actions = new ArrayList<>();

  public Effects(Identity identity, Spec spec) {
    this.identity = identity;
    this.spec = spec;
  }

  public void act(Action action) {
    actions.add(action);
  }

  /** The actions since the last call of this method. */
  public List<Action> takeActions() {
    List<Action> taken = actions;
    actions = new ArrayList<>();
    return taken;
  }

  /** Reply to a call that was carried out. */
  public void answer(Call call, Map<String, Object> body) {
    tokens.done(call, body);
    act(new Action.Answer(call.ticket, 200, body));
  }

  /**
   * Repeat the reply to a call that was carried out before.
   *
   * @return whether it was
   */
  public boolean repeat(Call call) {
    Map<String, Object> before = tokens.reply(call);
    if (before != null) {
      act(new Action.Answer(call.ticket, 200, before));
    }
    return before != null;
  }

  /** @param more names and values of further fields, in turn */
  public void refuse(Call call, int status, String code, String message, Object... more) {
    Map<String, Object> body = Json.map("error", code, "message", message);
    body.putAll(Json.map(more));
    act(new Action.Answer(call.ticket, status, body));
  }
}
