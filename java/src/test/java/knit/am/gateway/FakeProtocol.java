package knit.am.gateway;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.hadoop.yarn.api.ApplicationMasterProtocol;
import org.apache.hadoop.yarn.api.protocolrecords.AllocateRequest;
import org.apache.hadoop.yarn.api.protocolrecords.AllocateResponse;
import org.apache.hadoop.yarn.api.protocolrecords.FinishApplicationMasterRequest;
import org.apache.hadoop.yarn.api.protocolrecords.FinishApplicationMasterResponse;
import org.apache.hadoop.yarn.api.protocolrecords.RegisterApplicationMasterRequest;
import org.apache.hadoop.yarn.api.protocolrecords.RegisterApplicationMasterResponse;
import org.apache.hadoop.yarn.api.records.ApplicationAttemptId;
import org.apache.hadoop.yarn.api.records.ApplicationId;
import org.apache.hadoop.yarn.api.records.Container;
import org.apache.hadoop.yarn.api.records.ContainerId;
import org.apache.hadoop.yarn.api.records.ContainerState;
import org.apache.hadoop.yarn.api.records.ContainerStatus;
import org.apache.hadoop.yarn.api.records.NodeId;
import org.apache.hadoop.yarn.api.records.PreemptionMessage;
import org.apache.hadoop.yarn.api.records.Priority;
import org.apache.hadoop.yarn.api.records.Resource;
import org.apache.hadoop.yarn.api.records.ResourceRequest;
import org.apache.hadoop.yarn.exceptions.ApplicationMasterNotRegisteredException;
import org.apache.hadoop.yarn.exceptions.InvalidApplicationMasterRequestException;
import org.apache.hadoop.yarn.exceptions.InvalidResourceRequestException;
import org.apache.hadoop.yarn.exceptions.YarnException;

/** A ResourceManager that keeps what it is asked for, refuses what is too large, and gives when it is told to. */
final class FakeProtocol implements ApplicationMasterProtocol {
  private static final ApplicationAttemptId ATTEMPT = ApplicationAttemptId.newInstance(ApplicationId.newInstance(1, 1), 1);

  /** Outstanding requests by allocation id. */
  final Map<Long, Resource> asked = new TreeMap<>();
  final List<ContainerId> released = new ArrayList<>();
  final List<String> avoided = new ArrayList<>();
  final List<ContainerStatus> completed = new ArrayList<>();
  PreemptionMessage preemption;
  IOException refusal;
  long most = Long.MAX_VALUE;
  boolean generous;
  boolean restarted = true;
  int broken;
  int calls;
  private int responseId;
  private long containers = 1;

  @Override
  public RegisterApplicationMasterResponse registerApplicationMaster(RegisterApplicationMasterRequest request) {
    restarted = false;
    responseId = 0;
    return RegisterApplicationMasterResponse.newInstance(null, null, null, null, Collections.emptyList(), "default",
        Collections.emptyList());
  }

  @Override
  public AllocateResponse allocate(AllocateRequest request) throws YarnException, IOException {
    calls++;
    if (broken > 0 && --broken == 0) {
      throw new IOException("no connection");
    }
    if (refusal != null) {
      throw refusal;
    }
    if (restarted) {
      throw new ApplicationMasterNotRegisteredException("who are you?");
    }
    if (request.getResponseId() != responseId) {
      throw new InvalidApplicationMasterRequestException("out of turn");
    }
    for (ResourceRequest ask : request.getAskList()) {
      if (ask.getCapability().getMemorySize() > most) {
        throw new InvalidResourceRequestException("Invalid resource request! more than " + most + "\nat a\nat b");
      }
    }
    List<Container> given = new ArrayList<>();
    for (ResourceRequest ask : request.getAskList()) {
      if (!ask.getResourceName().equals(ResourceRequest.ANY)) {
        continue;
      }
      if (ask.getNumContainers() == 0) {
        asked.remove(ask.getAllocationRequestId());
      } else if (generous) {
        given.add(container(ask.getAllocationRequestId(), ask.getCapability()));
      } else {
        asked.put(ask.getAllocationRequestId(), ask.getCapability());
      }
    }
    for (ContainerId id : request.getReleaseList()) {
      released.add(id);
      end(id, -100);
    }
    avoided.addAll(request.getResourceBlacklistRequest().getBlacklistAdditions());
    avoided.removeAll(request.getResourceBlacklistRequest().getBlacklistRemovals());
    AllocateResponse response = AllocateResponse.newInstance(++responseId, new ArrayList<>(completed), given,
        Collections.emptyList(), null, null, 3, preemption, Collections.emptyList());
    completed.clear();
    return response;
  }

  private Container container(long request, Resource size) {
    ContainerId id = ContainerId.newContainerId(ATTEMPT, containers++);
    Container container = Container.newInstance(id, NodeId.newInstance("node07", 8041), "node07:8042", size,
        Priority.newInstance(0), null);
    container.setAllocationRequestId(request);
    return container;
  }

  void end(ContainerId id, int exit) {
    completed.add(ContainerStatus.newInstance(id, ContainerState.COMPLETE, "", exit));
  }

  @Override
  public FinishApplicationMasterResponse finishApplicationMaster(FinishApplicationMasterRequest request) throws YarnException {
    if (restarted) {
      throw new ApplicationMasterNotRegisteredException("who are you?");
    }
    return FinishApplicationMasterResponse.newInstance(true);
  }
}
