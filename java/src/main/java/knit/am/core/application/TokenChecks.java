package knit.am.core.application;

import knit.am.core.effects.Alarms;
import knit.am.core.effects.Effects;
import knit.am.core.message.Action;
import knit.am.core.message.Call;
import knit.am.core.message.Event;

/**
 * Looks for newer delegation tokens: when the client asks for it, and from time to time, as the client may not reach this process.
 * Under simple authentication there are none.
 */
final class TokenChecks {
  /** Milliseconds between two looks. */
  static final long INTERVAL = 300_000;

  private final Effects effects;
  private String problem;

  TokenChecks(Effects effects) {
    this.effects = effects;
  }

  void look() {
    if (!effects.spec.simple) {
      effects.act(new Action.Tokens(null, true));
    }
  }

  void read(Event.TokensRead event) {
    if (event.newer > 0) {
      effects.timeline.add(event.at, "tokens-read", null, event.newer + " newer delegation tokens");
    } else if (event.problem != null && !event.problem.equals(problem)) {
      effects.timeline.add(event.at, "tokens-refused", null, event.problem);
    }
    problem = event.problem;
    effects.alarms.set(Alarms.Kind.TOKENS, event.at + INTERVAL);
  }

  void call(Call.Tokens call) {
    if (effects.spec.simple) {
      effects.refuse(call, 409, "no-tokens", "the cluster uses simple authentication, so there are no delegation tokens");
    } else {
      effects.act(new Action.Tokens(call.ticket, call.renew));
    }
  }
}
