package knit.am;

import java.net.URI;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import knit.am.core.message.Action;
import knit.am.core.model.Identity;
import knit.am.core.model.Spec;

/** The environment variables of a container besides those of its service: docs/protocol.md, section 3. */
final class ContainerEnvironment {
  private final Identity identity;
  private final Spec spec;
  /** {@code host:port} of the API, null before it is known. */
  private volatile String address;

  ContainerEnvironment(Identity identity, Spec spec) {
    this.identity = identity;
    this.spec = spec;
  }

  void setAddress(String hostAndPort) {
    address = hostAndPort;
  }

  Map<String, String> of(Action.Launch launch) {
    Map<String, String> variables = new HashMap<>();
    variables.put("KNIT_APP_ID", identity.application);
    variables.put("KNIT_SERVICE", launch.service.name);
    variables.put("KNIT_INSTANCE", Integer.toString(launch.instance));
    variables.put("KNIT_INSTANCES", Integer.toString(launch.instances));
    variables.put("KNIT_ATTEMPT", Integer.toString(launch.attempt));
    variables.put("KNIT_CONTAINER", launch.id());
    variables.put("KNIT_MASTER", address);
    variables.put("KNIT_MASTER_ATTEMPT", Integer.toString(identity.attempt));
    List<String> urls = new ArrayList<>();
    String folder = URI.create(spec.staging).getRawPath();
    for (String web : spec.webhdfs) {
      urls.add(web + "/webhdfs/v1" + folder + "/apps/" + identity.application + "/master");
    }
    variables.put("KNIT_MASTER_FILE", String.join(",", urls));
    if (spec.simple) {
      variables.put("HADOOP_USER_NAME", identity.user);
    }
    return variables;
  }
}
