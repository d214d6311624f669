package knit.am.gateway;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;
import knit.am.api.WebUi;
import knit.am.util.Clock;
import knit.am.util.Log;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.security.authorize.AccessControlList;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.webapp.util.WebAppUtils;

/** The ResourceManager's web proxies and the users that may view the application, from the cluster's configuration. */
public final class YarnProxies implements WebUi.Proxies {
  /** Milliseconds for which the proxies' addresses are used. */
  private static final long AGE = 300_000;

  private final Configuration configuration;
  private final String application;
  private final Clock clock;
  private Set<InetAddress> known = new HashSet<>();
  private long knownAt = Long.MIN_VALUE / 2;

  public YarnProxies(Configuration configuration, String application, Clock clock) {
    this.configuration = configuration;
    this.application = application;
    this.clock = clock;
  }

  @Override
  public synchronized boolean contains(InetAddress address) {
    if (clock.now() - knownAt > AGE) {
      known = resolved();
      knownAt = clock.now();
    }
    return known.contains(address);
  }

  private Set<InetAddress> resolved() {
    Set<InetAddress> found = new HashSet<>();
    for (String proxy : WebAppUtils.getProxyHostsAndPortsForAmFilter(configuration)) {
      String host = proxy.contains(":") ? proxy.substring(0, proxy.lastIndexOf(':')) : proxy;
      try {
        for (InetAddress address : InetAddress.getAllByName(host)) {
          found.add(address);
        }
      } catch (UnknownHostException error) {
        Log.line("the ResourceManager's proxy " + host + " has no address");
      }
    }
    return found;
  }

  @Override
  public String address() {
    List<String> all = WebAppUtils.getProxyHostsAndPortsForAmFilter(configuration);
    String scheme = WebAppUtils.getHttpSchemePrefix(configuration);
    return scheme + (all.isEmpty() ? WebAppUtils.getProxyHostAndPort(configuration) : all.get(0)) + "/proxy/" + application;
  }

  /** All users if the cluster has no ACLs; else the owner, the administrators and the users that the owner has named. */
  public static Predicate<String> viewers(Configuration configuration, String owner, String viewers) {
    if (!configuration.getBoolean(YarnConfiguration.YARN_ACL_ENABLE, YarnConfiguration.DEFAULT_YARN_ACL_ENABLE)) {
      return user -> true;
    }
    AccessControlList named = new AccessControlList(viewers);
    AccessControlList admins = new AccessControlList(
        configuration.get(YarnConfiguration.YARN_ADMIN_ACL, YarnConfiguration.DEFAULT_YARN_ADMIN_ACL));
    return user -> {
      if (user.isEmpty()) {
        return named.isAllAllowed();
      }
      UserGroupInformation one = UserGroupInformation.createRemoteUser(user);
      return user.equals(owner) || named.isUserAllowed(one) || admins.isUserAllowed(one);
    };
  }
}
