package knit.am.gateway;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.EnumSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import knit.am.core.message.Event;
import knit.am.core.model.Grant;
import knit.am.core.model.Outcome;
import knit.am.core.model.Spec;
import knit.am.util.Clock;
import knit.am.util.Log;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.ipc.RPC;
import org.apache.hadoop.net.Node;
import org.apache.hadoop.security.AccessControlException;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.security.token.SecretManager;
import org.apache.hadoop.yarn.api.ApplicationClientProtocol;
import org.apache.hadoop.yarn.api.ApplicationMasterProtocol;
import org.apache.hadoop.yarn.api.protocolrecords.AllocateRequest;
import org.apache.hadoop.yarn.api.protocolrecords.AllocateResponse;
import org.apache.hadoop.yarn.api.protocolrecords.FinishApplicationMasterRequest;
import org.apache.hadoop.yarn.api.protocolrecords.GetClusterNodesRequest;
import org.apache.hadoop.yarn.api.protocolrecords.MoveApplicationAcrossQueuesRequest;
import org.apache.hadoop.yarn.api.protocolrecords.RegisterApplicationMasterRequest;
import org.apache.hadoop.yarn.api.protocolrecords.RegisterApplicationMasterResponse;
import org.apache.hadoop.yarn.api.protocolrecords.UpdateApplicationPriorityRequest;
import org.apache.hadoop.yarn.api.records.ApplicationId;
import org.apache.hadoop.yarn.api.records.Container;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.ContainerStatus;
import org.apache.hadoop.yarn.api.records.ExecutionType;
import org.apache.hadoop.yarn.api.records.ExecutionTypeRequest;
import org.apache.hadoop.yarn.api.records.FinalApplicationStatus;
import org.apache.hadoop.yarn.api.records.NMToken;
import org.apache.hadoop.yarn.api.records.NodeReport;
import org.apache.hadoop.yarn.api.records.NodeState;
import org.apache.hadoop.yarn.api.records.PreemptionMessage;
import org.apache.hadoop.yarn.api.records.Priority;
import org.apache.hadoop.yarn.api.records.Resource;
import org.apache.hadoop.yarn.api.records.ResourceBlacklistRequest;
import org.apache.hadoop.yarn.api.records.ResourceRequest;
import org.apache.hadoop.yarn.api.records.Token;
import org.apache.hadoop.yarn.client.ClientRMProxy;
import org.apache.hadoop.yarn.client.api.NMTokenCache;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.exceptions.ApplicationAttemptNotFoundException;
import org.apache.hadoop.yarn.exceptions.ApplicationMasterNotRegisteredException;
import org.apache.hadoop.yarn.exceptions.InvalidResourceRequestException;
import org.apache.hadoop.yarn.exceptions.YarnException;
import org.apache.hadoop.yarn.security.AMRMTokenIdentifier;
import org.apache.hadoop.yarn.util.RackResolver;

/**
 * The ResourceManager over YARN's protocol for ApplicationMasters. Every request has a unique id, so that each allocation belongs
 * to one instance and no request gets two containers. Hadoop's client (AMRMClient) keeps a table for every past id, and repeats a
 * refused request without end.
 */
public final class YarnResourceManager implements ResourceManager {
  private static final long UNREGISTER_PAUSE = 100;

  private final ApplicationMasterProtocol protocol;
  private final UnsentRequests unsent = new UnsentRequests();
  private final Map<String, Container> containers;
  private final Clock clock;
  private final Configuration configuration;
  private final ApplicationId application;
  private RegisterApplicationMasterRequest registration;
  private int responseId;
  private int clusterNodes = -1;
  /** News that is not returned yet. It is kept when a later call of the same heartbeat fails. */
  private List<Event> news = new ArrayList<>();

  /**
   * @param containers allocated containers by id, shared with the NodeManagers' gateway, which needs their tokens
   */
  public YarnResourceManager(Configuration configuration, Clock clock, Map<String, Container> containers,
      ApplicationId application) throws IOException {
    this(ClientRMProxy.createRMProxy(new YarnConfiguration(configuration), ApplicationMasterProtocol.class), configuration,
        clock, containers, application);
  }

  YarnResourceManager(ApplicationMasterProtocol protocol, Configuration configuration, Clock clock,
      Map<String, Container> containers, ApplicationId application) {
    this.protocol = protocol;
    this.application = application;
    this.clock = clock;
    this.configuration = configuration;
    this.containers = containers;
  }

  @Override
  public List<Grant> register(String host, int port, String trackingUrl) throws IOException {
    registration = RegisterApplicationMasterRequest.newInstance(host, port, trackingUrl);
    try {
      return grants(register().getContainersFromPreviousAttempts());
    } catch (YarnException error) {
      throw new IOException(error);
    }
  }

  private RegisterApplicationMasterResponse register() throws YarnException, IOException {
    RegisterApplicationMasterResponse response = protocol.registerApplicationMaster(registration);
    responseId = 0;
    keep(response.getNMTokensFromPreviousAttempts());
    return response;
  }

  private static void keep(Collection<NMToken> tokens) {
    for (NMToken token : tokens) {
      NMTokenCache.getSingleton().setToken(token.getNodeId().toString(), token.getToken());
    }
  }

  private List<Grant> grants(List<Container> given) {
    List<Grant> grants = new ArrayList<>();
    for (Container container : given) {
      String id = container.getId().toString();
      containers.put(id, container);
      grants.add(new Grant(id, container.getAllocationRequestId(),
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
    Set<String> nodes = new LinkedHashSet<>(hosts == null ? service.nodes : hosts);
    Set<String> racks = new LinkedHashSet<>(hosts == null ? service.racks : Collections.emptyList());
    boolean anywhere = nodes.isEmpty() && racks.isEmpty();
    if (!service.label.isEmpty() && !anywhere) {
      throw new IllegalArgumentException("YARN takes no node label together with nodes or racks");
    }
    boolean relax = anywhere || hosts == null && service.relax;
    List<ResourceRequest> parts = new ArrayList<>();
    // The schedulers consider a node only if its rack is requested too.
    nodes.forEach(node -> parts.add(part(request, service, size, node, true)));
    racks.forEach(rack -> parts.add(part(request, service, size, rack, true)));
    Set<String> above = new LinkedHashSet<>();
    for (String node : nodes) {
      Node resolved = RackResolver.resolve(configuration, node);
      if (resolved != null && resolved.getNetworkLocation() != null && !racks.contains(resolved.getNetworkLocation())) {
        above.add(resolved.getNetworkLocation());
      }
    }
    above.forEach(rack -> parts.add(part(request, service, size, rack, relax)));
    ResourceRequest any = part(request, service, size, ResourceRequest.ANY, relax);
    if (!service.label.isEmpty()) {
      any.setNodeLabelExpression(service.label);
    }
    parts.add(any);
    unsent.want(new UnsentRequests.Ask(request, service.index, parts));
  }

  private static ResourceRequest part(long request, Spec.Service service, Resource size, String place, boolean relax) {
    return ResourceRequest.newBuilder().capability(size).numContainers(1).priority(Priority.newInstance(service.index))
        .allocationRequestId(request).executionTypeRequest(service.opportunistic
            ? ExecutionTypeRequest.newInstance(ExecutionType.OPPORTUNISTIC, true) : ExecutionTypeRequest.newInstance())
        .resourceName(place).relaxLocality(relax).build();
  }

  @Override
  public void avoid(String host, boolean avoid) {
    unsent.avoid(host, avoid);
  }

  /** A call of the protocol for clients. */
  private interface ClientCall<T> {
    T of(ApplicationClientProtocol client) throws YarnException, IOException;
  }

  private <T> T asClient(ClientCall<T> call) throws IOException {
    ApplicationClientProtocol client = ClientRMProxy.createRMProxy(configuration, ApplicationClientProtocol.class);
    try {
      return call.of(client);
    } catch (YarnException error) {
      throw new IOException(error);
    } finally {
      RPC.stopProxy(client);
    }
  }

  @Override
  public List<String> hosts() throws IOException {
    return asClient(client -> {
      List<String> hosts = new ArrayList<>();
      for (NodeReport node : client.getClusterNodes(GetClusterNodesRequest.newInstance(EnumSet.of(NodeState.RUNNING)))
          .getNodeReports()) {
        hosts.add(node.getNodeId().getHost());
      }
      return hosts;
    });
  }

  @Override
  public void administer(boolean queue, String value) throws IOException {
    asClient(client -> queue
        ? client.moveApplicationAcrossQueues(MoveApplicationAcrossQueuesRequest.newInstance(application, value))
        : client.updateApplicationPriority(UpdateApplicationPriorityRequest.newInstance(application,
            Priority.newInstance(Integer.parseInt(value)))));
  }

  @Override
  public void cancel(long request) {
    unsent.cancel(request);
  }

  @Override
  public void release(String yarn) {
    containers.remove(yarn);
    unsent.release(ContainerId.fromString(yarn));
  }

  @Override
  public List<Event> heartbeat(double progress) throws IOException {
    try {
      try {
        send(progress);
      } catch (ApplicationMasterNotRegisteredException error) {
        Log.line("the ResourceManager has restarted: registering again");
        register();
        unsent.resendAll();
        send(progress);
      }
    } catch (ApplicationAttemptNotFoundException error) {
      throw new Gone("the ResourceManager has ended this attempt", error);
    } catch (YarnException error) {
      throw new Rejected(error, true);
    } catch (SecretManager.InvalidToken | AccessControlException error) {
      throw new Rejected(error, false);
    }
    List<Event> events = news;
    news = new ArrayList<>();
    return events;
  }

  private void send(double progress) throws YarnException, IOException {
    UnsentRequests.Batch batch = unsent.take();
    try {
      receive(allocate(progress, batch));
    } catch (InvalidResourceRequestException error) {
      // The whole batch was refused: send each kind alone to find the invalid one.
      for (int kind : batch.kinds()) {
        UnsentRequests.Batch some = unsent.take(kind);
        try {
          receive(allocate(progress, some));
        } catch (InvalidResourceRequestException refusal) {
          refused(some, refusal);
        }
      }
    }
  }

  private AllocateResponse allocate(double progress, UnsentRequests.Batch batch) throws YarnException, IOException {
    AllocateResponse response = null;
    try {
      response = protocol.allocate(AllocateRequest.newInstance(responseId, (float) progress, batch.parts(), batch.releases,
          ResourceBlacklistRequest.newInstance(batch.avoid, batch.allow)));
    } finally {
      if (response == null) {
        unsent.putBack(batch);
      }
    }
    responseId = response.getResponseId();
    return response;
  }

  private void refused(UnsentRequests.Batch kind, InvalidResourceRequestException refusal) {
    List<Long> requests = new ArrayList<>();
    for (UnsentRequests.Ask ask : kind.asks) {
      requests.add(ask.request);
      unsent.over(ask.request);
    }
    String message = String.valueOf(refusal.getMessage()).split("\n", 2)[0];
    Log.line("the ResourceManager refuses " + requests.size() + " requests: " + message);
    news.add(new Event.RequestsRefused(clock.now(), requests, message));
  }

  private void receive(AllocateResponse response) throws IOException {
    keep(response.getNMTokens());
    if (response.getNumClusterNodes() != clusterNodes) {
      clusterNodes = response.getNumClusterNodes();
      news.add(new Event.ClusterSize(clock.now(), clusterNodes));
    }
    if (!response.getContainersFromPreviousAttempts().isEmpty()) {
      news.add(new Event.Recovered(clock.now(), grants(response.getContainersFromPreviousAttempts())));
    }
    if (!response.getAllocatedContainers().isEmpty()) {
      response.getAllocatedContainers().forEach(container -> unsent.over(container.getAllocationRequestId()));
      news.add(new Event.Allocated(clock.now(), grants(response.getAllocatedContainers())));
    }
    List<String> going = preempted(response.getPreemptionMessage());
    if (!going.isEmpty()) {
      news.add(new Event.Preempting(clock.now(), going));
    }
    for (ContainerStatus status : response.getCompletedContainersStatuses()) {
      String id = status.getContainerId().toString();
      containers.remove(id);
      unsent.ended(status.getContainerId());
      news.add(new Event.Completed(clock.now(), id, status.getExitStatus(), status.getDiagnostics()));
    }
    renew(response.getAMRMToken());
  }

  /** Containers that YARN is going to preempt, certainly or unless it gets the resources otherwise. */
  private static List<String> preempted(PreemptionMessage message) {
    List<String> going = new ArrayList<>();
    if (message != null && message.getStrictContract() != null) {
      message.getStrictContract().getContainers().forEach(container -> going.add(container.getId().toString()));
    }
    if (message != null && message.getContract() != null) {
      message.getContract().getContainers().forEach(container -> going.add(container.getId().toString()));
    }
    return going;
  }

  /** The number of entries that are kept for the ResourceManager. */
  int kept() {
    return unsent.size();
  }

  /** The ResourceManager renews the attempt's token from time to time. */
  private void renew(Token given) throws IOException {
    if (given == null) {
      return;
    }
    org.apache.hadoop.security.token.Token<AMRMTokenIdentifier> token = new org.apache.hadoop.security.token.Token<>(
        given.getIdentifier().array(), given.getPassword().array(), new Text(given.getKind()), new Text(given.getService()));
    // First under its own service, to replace the earlier token; then under the service that connections use.
    UserGroupInformation.getCurrentUser().addToken(token);
    token.setService(ClientRMProxy.getAMRMTokenService(configuration));
  }

  @Override
  public long expiry() {
    return configuration.getLong(YarnConfiguration.RM_AM_EXPIRY_INTERVAL_MS,
        YarnConfiguration.DEFAULT_RM_AM_EXPIRY_INTERVAL_MS);
  }

  @Override
  public void unregister(Outcome outcome, String diagnostics) throws IOException {
    FinishApplicationMasterRequest request = FinishApplicationMasterRequest.newInstance(
        FinalApplicationStatus.valueOf(outcome.name()), diagnostics, null);
    try {
      while (!finished(request)) {
        Thread.sleep(UNREGISTER_PAUSE);
      }
    } catch (ApplicationAttemptNotFoundException error) {
      throw new Gone("the ResourceManager has ended this attempt", error);
    } catch (YarnException error) {
      throw new IOException(error);
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }

  private boolean finished(FinishApplicationMasterRequest request) throws YarnException, IOException {
    try {
      return protocol.finishApplicationMaster(request).getIsUnregistered();
    } catch (ApplicationMasterNotRegisteredException error) {
      Log.line("the ResourceManager has restarted: registering again");
      register();
      return false;
    }
  }
}
