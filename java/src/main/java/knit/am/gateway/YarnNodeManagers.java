package knit.am.gateway;

import java.io.IOException;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;
import knit.am.core.model.Spec;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CommonConfigurationKeysPublic;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.DataOutputBuffer;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.yarn.api.ApplicationConstants;
import org.apache.hadoop.yarn.api.ContainerManagementProtocol;
import org.apache.hadoop.yarn.api.protocolrecords.GetContainerStatusesRequest;
import org.apache.hadoop.yarn.api.protocolrecords.SignalContainerRequest;
import org.apache.hadoop.yarn.api.protocolrecords.StartContainerRequest;
import org.apache.hadoop.yarn.api.protocolrecords.StartContainersRequest;
import org.apache.hadoop.yarn.api.protocolrecords.StopContainersRequest;
import org.apache.hadoop.yarn.api.protocolrecords.impl.pb.StartContainersRequestPBImpl;
import org.apache.hadoop.yarn.api.records.ApplicationAccessType;
import org.apache.hadoop.yarn.api.records.Container;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.ContainerLaunchContext;
import org.apache.hadoop.yarn.api.records.LocalResource;
import org.apache.hadoop.yarn.api.records.LocalResourceType;
import org.apache.hadoop.yarn.api.records.LocalResourceVisibility;
import org.apache.hadoop.yarn.api.records.SerializedException;
import org.apache.hadoop.yarn.api.records.SignalContainerCommand;
import org.apache.hadoop.yarn.api.records.URL;
import org.apache.hadoop.yarn.client.api.impl.ContainerManagementProtocolProxy;
import org.apache.hadoop.yarn.client.api.impl.ContainerManagementProtocolProxy.ContainerManagementProtocolProxyData;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.exceptions.YarnException;

/** The NodeManagers over Hadoop's client. */
public final class YarnNodeManagers implements NodeManagers {
  /** Milliseconds to connect to a NodeManager. After that the container is replaced. */
  public static final int CONNECT = 3_000;
  /** Milliseconds for a NodeManager's reply. */
  private static final int ANSWER = 20_000;
  /** Seconds for a NodeManager that refuses connections, as while it restarts. */
  private static final int REFUSED = 10;
  private static final Text CONTAINER_TOKEN = new Text("knit.token");

  /** Used instead of Hadoop's NMClient, which keeps every container that it has started. */
  private final ContainerManagementProtocolProxy proxies;
  private final Map<String, Container> containers;
  private final HadoopDelegationTokens delegationTokens;
  private final Function<String, byte[]> tokens;
  private final Map<ApplicationAccessType, String> acls;

  /**
   * @param containers allocated containers by id
   * @param delegationTokens which containers get when they start
   * @param tokens the secret of a container, by YARN's id
   * @param acls the users that may see a container's logs, or end it
   */
  public YarnNodeManagers(Configuration cluster, Map<String, Container> containers, HadoopDelegationTokens delegationTokens,
      Function<String, byte[]> tokens, Map<ApplicationAccessType, String> acls) {
    this.containers = containers;
    this.tokens = tokens;
    this.acls = acls;
    this.delegationTokens = delegationTokens;
    proxies = new ContainerManagementProtocolProxy(quick(cluster));
  }

  /** The cluster's settings with time-outs for each call. With Hadoop's defaults a call to a dead node takes hours. */
  private static Configuration quick(Configuration cluster) {
    Configuration quick = new Configuration(cluster);
    quick.setInt(CommonConfigurationKeysPublic.IPC_CLIENT_CONNECT_TIMEOUT_KEY, CONNECT);
    quick.setInt(CommonConfigurationKeysPublic.IPC_CLIENT_CONNECT_MAX_RETRIES_ON_SOCKET_TIMEOUTS_KEY, 0);
    quick.setInt(CommonConfigurationKeysPublic.IPC_CLIENT_CONNECT_MAX_RETRIES_KEY, REFUSED);
    quick.setInt(CommonConfigurationKeysPublic.IPC_CLIENT_CONNECT_RETRY_INTERVAL_KEY, 1_000);
    quick.setInt("yarn.rpc.nm-command-timeout", ANSWER);
    // No further retries: those of the connection are enough.
    quick.setLong(YarnConfiguration.CLIENT_NM_CONNECT_MAX_WAIT_MS, 1);
    quick.setLong(YarnConfiguration.CLIENT_NM_CONNECT_RETRY_INTERVAL_MS, 1_000);
    return quick;
  }

  /** The error of a failed call. */
  private static IOException failure(Exception error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof ConnectException || cause instanceof SocketTimeoutException
          || cause instanceof NoRouteToHostException || cause instanceof UnknownHostException) {
        return new Unreachable(error);
      }
    }
    return error instanceof IOException ? (IOException) error : new IOException(error);
  }

  /** Load the classes for the first start, while the ResourceManager allocates the first container. */
  public void warmUp(Spec.Service service) throws IOException {
    StartContainerRequest request = StartContainerRequest.newInstance(context(service, new HashMap<>(), "container_0"), null);
    StartContainersRequestPBImpl all =
        (StartContainersRequestPBImpl) StartContainersRequest.newInstance(Collections.singletonList(request));
    all.getProto().getSerializedSize();
    try {
      Class.forName("org.apache.hadoop.yarn.api.impl.pb.client.ContainerManagementProtocolPBClientImpl");
    } catch (ClassNotFoundException error) {
      throw new IOException(error);
    }
  }

  @Override
  public void start(String yarn, Spec.Service service, Map<String, String> environment) throws IOException {
    Container allocated = containers.get(yarn);
    if (allocated == null) {
      throw new IOException("its allocation is no longer valid");
    }
    StartContainerRequest request = StartContainerRequest.newInstance(context(service, environment, yarn),
        allocated.getContainerToken());
    call(allocated, node -> {
      SerializedException problem = node.startContainers(StartContainersRequest.newInstance(
          Collections.singletonList(request))).getFailedRequests().get(allocated.getId());
      if (problem != null && !isThere(node, allocated.getId())) {
        throw new IOException(problem.deSerialize());
      }
    });
  }

  /** Whether an earlier attempt has started the container. The error of a second start depends on the node's version. */
  private static boolean isThere(ContainerManagementProtocol node, ContainerId id) throws YarnException, IOException {
    return !node.getContainerStatuses(GetContainerStatusesRequest.newInstance(Collections.singletonList(id)))
        .getContainerStatuses().isEmpty();
  }

  @Override
  public void signal(String yarn) throws IOException {
    Container allocated = containers.get(yarn);
    if (allocated != null) {
      call(allocated, node -> node.signalToContainer(
          SignalContainerRequest.newInstance(allocated.getId(), SignalContainerCommand.GRACEFUL_SHUTDOWN)));
    }
  }

  @Override
  public void stop(String yarn) throws IOException {
    Container allocated = containers.get(yarn);
    if (allocated == null) {
      return;
    }
    call(allocated, node -> {
      SerializedException problem = node.stopContainers(StopContainersRequest.newInstance(
          Collections.singletonList(allocated.getId()))).getFailedRequests().get(allocated.getId());
      if (problem != null) {
        throw new IOException(problem.deSerialize());
      }
    });
  }

  /** A call to a NodeManager. */
  private interface Call {
    void with(ContainerManagementProtocol node) throws YarnException, IOException;
  }

  private void call(Container container, Call call) throws IOException {
    ContainerManagementProtocolProxyData proxy = proxies.getProxy(container.getNodeId().toString(), container.getId());
    try {
      call.with(proxy.getContainerManagementProtocol());
    } catch (YarnException | IOException error) {
      throw failure(error);
    } finally {
      proxies.mayBeCloseProxy(proxy);
    }
  }

  private ContainerLaunchContext context(Spec.Service service, Map<String, String> environment, String yarn)
      throws IOException {
    Map<String, String> variables = new HashMap<>(service.env);
    variables.putAll(environment);
    String logs = ApplicationConstants.LOG_DIR_EXPANSION_VAR;
    String command = "exec bash ./" + service.script + " 1>" + logs + "/stdout 2>" + logs + "/stderr";
    return ContainerLaunchContext.newInstance(localResources(service), variables, Collections.singletonList(command), null,
        credentials(yarn), acls.isEmpty() ? null : acls);
  }

  private ByteBuffer credentials(String yarn) throws IOException {
    Credentials credentials = delegationTokens.forContainer();
    credentials.addSecretKey(CONTAINER_TOKEN, tokens.apply(yarn));
    DataOutputBuffer buffer = new DataOutputBuffer();
    credentials.writeTokenStorageToStream(buffer);
    return ByteBuffer.wrap(buffer.getData(), 0, buffer.getLength());
  }

  /** New for each container, because Hadoop's records are not thread-safe. */
  private static Map<String, LocalResource> localResources(Spec.Service service) {
    Map<String, LocalResource> files = new HashMap<>();
    for (Spec.File file : service.files) {
      files.put(file.link, LocalResource.newInstance(URL.fromPath(new Path(file.url)),
          LocalResourceType.valueOf(file.type), LocalResourceVisibility.valueOf(file.visibility), file.size,
          file.timestamp));
    }
    return files;
  }
}
