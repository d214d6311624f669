package knit.am.gateway;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import knit.am.core.Event;
import knit.am.core.Outcome;
import knit.am.core.Spec;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.ipc.RPC;
import org.apache.hadoop.yarn.api.ApplicationClientProtocol;
import org.apache.hadoop.yarn.api.protocolrecords.AllocateResponse;
import org.apache.hadoop.yarn.api.protocolrecords.GetClusterNodesRequest;
import org.apache.hadoop.yarn.api.protocolrecords.MoveApplicationAcrossQueuesRequest;
import org.apache.hadoop.yarn.api.protocolrecords.RegisterApplicationMasterResponse;
import org.apache.hadoop.yarn.api.protocolrecords.UpdateApplicationPriorityRequest;
import org.apache.hadoop.yarn.api.records.ApplicationId;
import org.apache.hadoop.yarn.api.records.Container;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.ContainerStatus;
import org.apache.hadoop.yarn.api.records.ExecutionType;
import org.apache.hadoop.yarn.api.records.ExecutionTypeRequest;
import org.apache.hadoop.yarn.api.records.FinalApplicationStatus;
import org.apache.hadoop.yarn.api.records.NodeReport;
import org.apache.hadoop.yarn.api.records.NodeState;
import org.apache.hadoop.yarn.api.records.Priority;
import org.apache.hadoop.yarn.api.records.Resource;
import org.apache.hadoop.yarn.client.ClientRMProxy;
import org.apache.hadoop.yarn.client.api.AMRMClient;
import org.apache.hadoop.yarn.client.api.AMRMClient.ContainerRequest;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.exceptions.ApplicationAttemptNotFoundException;
import org.apache.hadoop.yarn.exceptions.YarnException;

/**
 * The ResourceManager over Hadoop's client. Every request has an id of its own, so that an answer always finds its
 * instance and a container is never given twice for one request.
 */
public final class YarnResourceManager implements ResourceManager {
  private final AMRMClient<ContainerRequest> client = AMRMClient.createAMRMClient();
  private final Map<Long, ContainerRequest> requests = new ConcurrentHashMap<>();
  private final Map<String, Container> containers;
  private final Clock clock;
  private final Configuration configuration;
  private final ApplicationId application;
  private int clusterNodes = -1;

  /**
   * @param containers allocated containers by id, shared with the NodeManagers' gateway, which needs their tokens
   */
  public YarnResourceManager(Configuration configuration, Clock clock, Map<String, Container> containers,
      ApplicationId application) {
    this.application = application;
    this.clock = clock;
    this.configuration = configuration;
    this.containers = containers;
    client.init(configuration);
    client.start();
  }

  @Override
  public List<Event.Grant> register(String host, int port, String trackingUrl) throws IOException {
    try {
      RegisterApplicationMasterResponse response = client.registerApplicationMaster(host, port, trackingUrl);
      return grants(response.getContainersFromPreviousAttempts());
    } catch (YarnException error) {
      throw new IOException(error);
    }
  }

  private List<Event.Grant> grants(List<Container> given) {
    List<Event.Grant> grants = new ArrayList<>();
    for (Container container : given) {
      String id = container.getId().toString();
      containers.put(id, container);
      grants.add(new Event.Grant(id, container.getAllocationRequestId(),
          container.getNodeId().getHost() + ":" + container.getNodeId().getPort(), container.getNodeHttpAddress()));
    }
    return grants;
  }

  @Override
  public void request(long request, Spec.Service service, List<String> hosts) {
    Resource size = Resource.newInstance(service.memory, service.vcores);
    for (Map.Entry<String, Long> named : service.resources.entrySet()) {
      size.setResourceValue(named.getKey(), named.getValue());
    }
    List<String> nodes = hosts == null ? service.nodes : hosts;
    List<String> racks = hosts == null ? service.racks : Collections.emptyList();
    boolean anywhere = nodes.isEmpty() && racks.isEmpty();
    ContainerRequest.ContainerRequestBuilder wanted = ContainerRequest.newBuilder().capability(size)
        .priority(Priority.newInstance(service.index)).allocationRequestId(request)
        .nodes(nodes.isEmpty() ? null : nodes.toArray(new String[0]))
        .racks(racks.isEmpty() ? null : racks.toArray(new String[0]))
        .relaxLocality(anywhere || hosts == null && service.relax);
    if (!service.label.isEmpty()) {
      wanted.nodeLabelsExpression(service.label);
    }
    if (service.opportunistic) {
      wanted.executionTypeRequest(ExecutionTypeRequest.newInstance(ExecutionType.OPPORTUNISTIC, true));
    }
    ContainerRequest built = wanted.build();
    requests.put(request, built);
    client.addContainerRequest(built);
  }

  @Override
  public void avoid(String host, boolean avoid) {
    List<String> hosts = Collections.singletonList(host);
    client.updateBlacklist(avoid ? hosts : null, avoid ? null : hosts);
  }

  /** Something that only the protocol for clients offers. */
  private interface Wish<T> {
    T of(ApplicationClientProtocol whole) throws YarnException, IOException;
  }

  private <T> T asClient(Wish<T> wish) throws IOException {
    ApplicationClientProtocol whole = ClientRMProxy.createRMProxy(configuration, ApplicationClientProtocol.class);
    try {
      return wish.of(whole);
    } catch (YarnException error) {
      throw new IOException(error);
    } finally {
      RPC.stopProxy(whole);
    }
  }

  @Override
  public List<String> hosts() throws IOException {
    return asClient(whole -> {
      List<String> hosts = new ArrayList<>();
      for (NodeReport node : whole.getClusterNodes(GetClusterNodesRequest.newInstance(EnumSet.of(NodeState.RUNNING)))
          .getNodeReports()) {
        hosts.add(node.getNodeId().getHost());
      }
      return hosts;
    });
  }

  @Override
  public void administer(boolean queue, String value) throws IOException {
    asClient(whole -> queue
        ? whole.moveApplicationAcrossQueues(MoveApplicationAcrossQueuesRequest.newInstance(application, value))
        : whole.updateApplicationPriority(UpdateApplicationPriorityRequest.newInstance(application,
            Priority.newInstance(Integer.parseInt(value)))));
  }

  @Override
  public void cancel(long request) {
    ContainerRequest wanted = requests.remove(request);
    if (wanted != null) {
      client.removeContainerRequest(wanted);
    }
  }

  @Override
  public void release(String yarn) {
    containers.remove(yarn);
    client.releaseAssignedContainer(ContainerId.fromString(yarn));
  }

  @Override
  public List<Event> heartbeat(double progress) throws IOException {
    AllocateResponse response;
    try {
      response = client.allocate((float) progress);
    } catch (ApplicationAttemptNotFoundException error) {
      throw new Gone("the ResourceManager has ended this attempt", error);
    } catch (YarnException error) {
      throw new IOException(error);
    }
    List<Event> events = new ArrayList<>();
    if (response.getNumClusterNodes() != clusterNodes) {
      clusterNodes = response.getNumClusterNodes();
      events.add(new Event.ClusterSize(clock.now(), clusterNodes));
    }
    if (!response.getContainersFromPreviousAttempts().isEmpty()) {
      events.add(new Event.Recovered(clock.now(), grants(response.getContainersFromPreviousAttempts())));
    }
    if (!response.getAllocatedContainers().isEmpty()) {
      // Hadoop's client would ask again for what was given, should it have to repeat its requests.
      response.getAllocatedContainers().forEach(container -> cancel(container.getAllocationRequestId()));
      events.add(new Event.Allocated(clock.now(), grants(response.getAllocatedContainers())));
    }
    for (ContainerStatus status : response.getCompletedContainersStatuses()) {
      String id = status.getContainerId().toString();
      containers.remove(id);
      events.add(new Event.Completed(clock.now(), id, status.getExitStatus(), status.getDiagnostics()));
    }
    return events;
  }

  @Override
  public long expiry() {
    return configuration.getLong(YarnConfiguration.RM_AM_EXPIRY_INTERVAL_MS,
        YarnConfiguration.DEFAULT_RM_AM_EXPIRY_INTERVAL_MS);
  }

  @Override
  public void unregister(Outcome outcome, String diagnostics) throws IOException {
    try {
      client.unregisterApplicationMaster(FinalApplicationStatus.valueOf(outcome.name()), diagnostics, null);
    } catch (YarnException error) {
      throw new IOException(error);
    }
  }
}
