package knit.am.core;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What an earlier attempt of the ApplicationMaster left: containers that go on, and those of which nobody heard. */
final class Takeover {
  /** Milliseconds for YARN to say how a container ended while no ApplicationMaster was there. */
  static final long LOST_PATIENCE = 10_000;

  private final Context context;
  private final Instances instances;
  private final ReadinessChecks readying;

  Takeover(Context context, Instances instances, ReadinessChecks readying) {
    this.context = context;
    this.instances = instances;
    this.readying = readying;
  }

  /** What an earlier attempt left running goes on; what is not there any more, YARN will say how it ended. */
  void recovered(List<Event.Grant> previous, boolean first, long at) {
    Map<Long, Container> asked = new HashMap<>();
    context.roster.waiting().forEach(container -> asked.put(container.request(), container));
    Set<String> there = new HashSet<>();
    for (Event.Grant grant : previous) {
      there.add(grant.yarn);
      Container known = context.roster.allocated(grant.yarn);
      if (known == null && asked.containsKey(grant.request)) {
        // Given, and maybe started, in the moment in which our journal ended.
        context.roster.waited(grant.request);
        known = context.roster.update(asked.get(grant.request).starting(grant));
      }
      if (known == null || known.state() == ContainerState.HELD) {
        context.act(new Action.Release(grant.yarn));
        context.log.add(at, "container-released", null, grant.yarn + " of an earlier attempt");
        there.remove(grant.yarn);
      } else {
        adopt(known, at);
      }
    }
    if (first) {
      missing(there, at);
    }
  }

  private void adopt(Container container, long at) {
    Group group = context.roster.group(container);
    context.log.add(at, "container-kept", container.id(), container.yarn() + " on " + container.node());
    if (!context.ending.open() || container.state() == ContainerState.STOPPING) {
      instances.dismiss(container, container.diagnostics(), at);
    } else if (container.state() == ContainerState.STARTING) {
      instances.launch(group, container, at); // a NodeManager that has it already says so
    } else {
      readying.watch(group, container, at);
    }
  }

  private void missing(Set<String> there, long at) {
    List<Container> asked = new ArrayList<>(context.roster.waiting());
    for (Container container : new ArrayList<>(context.roster.allocated())) {
      if (container.state() == ContainerState.HELD && context.ending.open()) {
        context.roster.forget(container); // YARN takes back what was not started
        instances.request(context.roster.group(container), container, at);
      } else if (!there.contains(container.yarn())) {
        context.alarms.set(Instances.LOST + container.yarn(), at + LOST_PATIENCE);
      }
    }
    for (Container container : asked) {
      if (context.ending.open()) {
        instances.requestAgain(container, at);
      }
    }
    for (Group group : context.roster.groups()) {
      for (Container container : Instances.copy(group)) {
        resume(group, container, at);
      }
    }
  }

  private void resume(Group group, Container container, long at) {
    if (!context.ending.open()) {
      if (container.live() && !container.state().begun()) {
        instances.dismiss(container, "ended with the application", at);
      }
    } else if (container.state() == ContainerState.WAITING && group.released) {
      // An earlier attempt's clock may have been ahead of ours.
      long longest = Math.max(group.spec.restart.longestDelay, Instances.LONGEST_REFUSAL_PAUSE);
      context.alarms.set(Instances.RESTART + container.key(), Math.min(Math.max(at, container.notBefore()), at + longest));
    }
  }
}
