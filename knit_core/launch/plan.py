"""The plan of a launch: from specification and facts to uploads and documents. Pure.

Two steps, because the ApplicationMaster needs sizes and modification times, which exist only after the upload:
`make_plan` lists the files; `LaunchPlan.document` and `LaunchPlan.submission` add their status on HDFS.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from knit_container.credentials import Token
from knit_container.secret import Hidden
from knit_core.launch import container_script as script
from knit_core.launch.class_sharing import archive_name, can_share, sharing_options, split_classpath
from knit_core.launch.environment_unpacking import ENVIRONMENT_LINK, PACKED_LINK, unpacked_by_container
from knit_core.model.cluster_facts import ClusterFacts, FileStatus
from knit_core.model.representation import shown
from knit_core.model.upload import Upload
from knit_core.preflight import submitted_name
from knit_core.spec import ApplicationSpec, FileType, Readiness, Restart, Service
from knit_core.spec.application import BESIDE_HEAP
from knit_core.spec.files import path_in

JAR_LINK = "knit-am.jar"
DOCUMENT_LINK = "knit-app.json"
SECRET = "knit.secret"
APPLICATION_TYPE = "KNIT"


@shown
@dataclass(frozen=True)
class Resource:
    """A file for a container: an upload, or a file that is on HDFS already (`url`)."""

    link: str
    type: FileType
    upload: Upload | None = None
    url: str = ""
    visibility: str = "PRIVATE"

    def path(self, staging: str) -> str:
        """Its path on HDFS."""
        return self.upload.remote(staging) if self.upload else path_in(self.url)


@shown
@dataclass(frozen=True)
class LaunchPlan:
    """Everything that a launch uploads and submits."""

    app_id: str
    spec: ApplicationSpec
    facts: ClusterFacts
    jar: Upload
    resources: Mapping[str, tuple[Resource, ...]]  # per service
    scripts: Mapping[str, str]
    tags: tuple[str, ...] = ()

    @property
    def uploads(self) -> list[Upload]:
        """Files that must be in the cache, each content once."""
        found = {self.jar.remote(""): self.jar}
        for resources in self.resources.values():
            for resource in resources:
                if resource.upload is not None:
                    found.setdefault(resource.upload.remote(""), resource.upload)
        return list(found.values())

    @property
    def remotes(self) -> list[str]:
        """Paths on HDFS of files that are used in place."""
        return sorted({r.path("") for rs in self.resources.values() for r in rs if r.upload is None})

    def document(self, staged: Mapping[str, FileStatus]) -> bytes:
        """`knit-app.json` (docs/protocol.md, section 2).

        Args:
            staged: status by HDFS path, of all uploads and remotes.
        """
        facts = self.facts
        spec = self.spec
        content = {
            "format": 2,
            "name": spec.name,
            "user": facts.user,
            "staging": facts.filesystem + facts.staging,
            "webhdfs": list(facts.webhdfs),
            "simple": facts.simple,
            "ports": list(facts.api_ports),
            "lifetime": math.ceil(spec.lifetime),
            "journal": facts.attempts(spec.attempts) > 1,
            "completion": list(spec.must_succeed),
            "nodeFailures": spec.node_failures,
            "acls": {"view": spec.acls.view, "modify": spec.acls.modify},
            "services": {name: self._service(name, service, staged) for name, service in spec.services.items()},
        }
        return (json.dumps(content, ensure_ascii=True, separators=(",", ":"), sort_keys=True) + "\n").encode()

    def _service(self, name: str, service: Service, staged: Mapping[str, FileStatus]) -> dict[str, Any]:
        nodes, racks = _places(service, self.facts)
        return {
            "instances": service.instances,
            "memory": service.memory,
            "vcores": service.vcores,
            "resources": service.all_resources,
            "script": script.script_name(name),
            "env": service.docker.variables() if service.docker else {},
            "files": [self._localised(resource, staged) for resource in self.resources[name]],
            "label": service.node_label,
            "nodes": nodes,
            "racks": racks,
            "relax": service.relax_locality,
            "spread": service.anti_affinity,
            "opportunistic": service.opportunistic,
            "depends": {other: condition.value for other, condition in service.depends_on.items()},
            "restart": _restart(service.restart),
            "gang": _milliseconds(service.gang),
            "grace": _milliseconds(service.stop_grace),
            "success": sorted(service.success_codes),
            "fatal": sorted(service.fatal_codes),
            "required": service.required,
            "manages": service.manages,
            **({"readiness": _readiness(service.readiness)} if service.readiness else {}),
        }

    def _localised(self, resource: Resource, staged: Mapping[str, FileStatus]) -> dict[str, Any]:
        path = resource.path(self.facts.staging)
        status = staged[path]
        return {
            "link": resource.link,
            "url": self.facts.filesystem + path,
            "size": status.size,
            "timestamp": status.modified,
            "type": str(resource.type.value),
            "visibility": resource.visibility,
        }

    def submission(
        self,
        staged: Mapping[str, FileStatus],
        document: Upload,
        secret: bytes,
        tokens: Mapping[str, Token] | None = None,
    ) -> dict[str, Any]:
        """The body of the submission.

        Args:
            staged: status by HDFS path, the document's included.
            document: the uploaded `knit-app.json`.
            secret: the application's secret. It is only in `credentials`, wrapped in `Hidden`, so that no repr
                shows it.
            tokens: delegation tokens by alias, where the cluster uses Kerberos; they are kept as the secret is.
        """
        local = [
            Resource(JAR_LINK, FileType.FILE, self.jar),
            Resource(DOCUMENT_LINK, FileType.FILE, document),
        ]
        entries = []
        for resource in local:
            found = self._localised(resource, staged)
            value = {key: found[key] for key in ("type", "visibility", "size", "timestamp")}
            entries.append({"key": found["link"], "value": {"resource": found["url"], **value}})
        body = self._description(entries)
        credentials = {"secrets": {"entry": [{"key": SECRET, "value": Hidden(base64.b64encode(secret).decode())}]}}
        if tokens:
            entries = [{"key": alias, "value": Hidden(token.encode())} for alias, token in sorted(tokens.items())]
            credentials["tokens"] = {"entry": entries}
        body["am-container-spec"]["credentials"] = credentials
        return body

    def _description(self, local_resources: list[dict[str, Any]]) -> dict[str, Any]:
        spec, facts = self.spec, self.facts
        environment = {"MALLOC_ARENA_MAX": "1"}  # glibc's arenas would double the small JVM's memory
        if facts.simple:
            environment["HADOOP_USER_NAME"] = facts.user
        body: dict[str, Any] = {
            "application-id": self.app_id,
            "application-name": spec.name,
            "application-type": APPLICATION_TYPE,
            "max-app-attempts": facts.attempts(spec.attempts),
            "attempt-failures-validity-interval": _milliseconds(spec.attempt_window) or -1,
            "keep-containers-across-application-attempts": facts.attempts(spec.attempts) > 1,
            "application-tags": {"tag": list(self.tags)},
            "resource": {"memory": spec.memory_of_master, "vCores": 1},
            "am-container-spec": {
                "local-resources": {"entry": local_resources},
                "commands": {"command": master_command(facts, spec.memory_of_master, self.jar)},
                "environment": {"entry": _entries(environment)},
            },
        }
        # Without a name YARN takes "default", as for that name itself, and its placement rules may choose another queue.
        if queue := submitted_name(spec, facts):
            body["queue"] = queue
        acls = {"VIEW_APP": spec.acls.view, "MODIFY_APP": spec.acls.modify}
        if any(acls.values()):
            body["am-container-spec"]["application-acls"] = {"entry": _entries({k: v for k, v in acls.items() if v})}
        if any(spec.logs.submission().values()):
            body["log-aggregation-context"] = spec.logs.submission()
        if spec.master_label:
            body["am-container-node-label-expression"] = spec.master_label
        if spec.priority is not None:
            body["priority"] = spec.priority
        return body

    def describe(self) -> dict[str, Any]:
        """The plan as `--dry-run` shows it, without secrets."""
        return {
            "application": self.app_id,
            "uploads": [
                {"path": upload.path or upload.name, "bytes": upload.size, "to": upload.remote(self.facts.staging)}
                for upload in self.uploads
            ],
            "in place": self.remotes,
            "scripts": dict(self.scripts),
            "submission": self._description([]),
        }


def _places(service: Service, facts: ClusterFacts) -> tuple[list[str], list[str]]:
    """Nodes and racks to request.

    A strict request for a rack becomes requests for its nodes, by name. The CapacityScheduler never grants it otherwise
    (unless its locality delay is off): it skips strict requests before it counts the delay that they wait for.
    """
    if not service.racks or service.relax_locality or facts.nodes is None:
        return list(service.nodes), list(service.racks)
    hosts = [node.host for node in facts.nodes if node.rack in service.racks]
    return list(dict.fromkeys([*service.nodes, *sorted(hosts)])), []


def _entries(mapping: Mapping[str, str]) -> list[dict[str, str]]:
    """A mapping in the format of YARN's REST API."""
    return [{"key": key, "value": value} for key, value in sorted(mapping.items())]


def _milliseconds(span: float) -> int:
    return math.ceil(span * 1000)


def _restart(rule: Restart) -> dict[str, Any]:
    return {
        "policy": rule.policy.value,
        "limit": -1 if rule.limit is None else rule.limit,
        "window": _milliseconds(rule.window),
        "firstDelay": _milliseconds(rule.first_delay),
        "longestDelay": _milliseconds(rule.longest_delay),
    }


def _readiness(check: Readiness) -> dict[str, Any]:
    way: dict[str, Any] = {"kind": "report"}
    if check.http is not None:
        way = {"kind": "http", "port": check.http.port, "path": check.http.path}
    elif check.tcp is not None:
        way = {"kind": "tcp", "port": check.tcp}
    elif check.command is not None:
        way = {"kind": "command"}
    spans = {"interval": check.interval, "timeout": check.timeout, "deadline": check.deadline}
    return {**way, **{name: _milliseconds(span) for name, span in spans.items()}}


def master_heap(memory: int) -> int:
    """MiB of heap of an ApplicationMaster in a container of `memory` MiB.

    All but what the JVM needs outside of the heap; at least half of the memory.
    """
    return max(memory - BESIDE_HEAP, memory // 2)


def master_command(facts: ClusterFacts, memory: int, jar: Upload) -> str:
    """The ApplicationMaster's command line; YARN puts it into double quotes in a bash script, which expands `$`.

    Args:
        facts: about the cluster.
        memory: MiB of its container.
        jar: the ApplicationMaster's.
    """
    heap = master_heap(memory)
    java = facts.java or "${JAVA_HOME:+$JAVA_HOME/bin/}java"
    jars, folders = split_classpath(facts.classpath)
    classpath = ":".join([JAR_LINK, *(part.strip() for part in facts.classpath.split(",") if part.strip())])
    options = (
        f"-Xmx{heap}m -Xms16m -Xmn{max(4, heap // 32)}m -Xss256k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto "
        "-XX:-UsePerfData -XX:+ExitOnOutOfMemoryError -XX:+DisplayVMOutputToStderr "
        f"-Dsun.net.httpserver.maxReqTime=10 -Dsun.net.httpserver.maxRspTime=60 -cp {classpath}"
    )
    if facts.class_sharing and can_share(facts.java, memory):
        name = archive_name(jar.sha256, facts.java, facts.classpath)
        options = f"{options} {sharing_options(name, [JAR_LINK, *jars], folders)}"
    return f"exec {java} {options} knit.am.Main 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr"


def make_plan(
    spec: ApplicationSpec,
    facts: ClusterFacts,
    *,
    jar: Upload,
    container_zip: Upload,
    files: Mapping[str, Upload],
    tags: tuple[str, ...] = (),
) -> LaunchPlan:
    """Plan a launch.

    Args:
        spec: what to run; preflight has passed.
        facts: about the cluster.
        jar: the ApplicationMaster.
        container_zip: `knit_container`.
        files: an Upload for each local path in the spec, and for `facts.ca` if that is a local path.
        tags: added to the spec's own.
    """
    scripts, resources = {}, {}
    places = {path: upload.remote("") for path, upload in files.items()}
    ca = files.get(facts.ca)
    for name, service in spec.services.items():
        shared = _shared(service, files)
        links = script.localised_names(service, places, shared=shared)
        scripts[name] = script.container_script(service, links, shared=shared, ca=script.CA_LINK if ca else facts.ca)
        own = script.script_name(name)
        found = [
            Resource(own, FileType.FILE, Upload.of(own, scripts[name].encode())),
            Resource(script.CONTAINER_ZIP, FileType.FILE, container_zip),
        ]
        if ca is not None:
            found.append(Resource(script.CA_LINK, FileType.FILE, ca))
        environment = service.environment
        if environment is not None and environment.kind == "archive":
            local = files.get(environment.archive)
            url = "" if local else environment.archive
            if shared:  # localised by the NodeManager's user: containers may not write there
                found.append(Resource(ENVIRONMENT_LINK, FileType.ARCHIVE, local, url, "PUBLIC"))
            elif unpacked_by_container(service):
                found.append(Resource(PACKED_LINK, FileType.FILE, local, url))
            else:
                found.append(Resource(ENVIRONMENT_LINK, FileType.ARCHIVE, local, url))
        wanted: dict[str, Resource] = {}
        for file, link in zip(service.files, links, strict=True):
            upload = None if file.remote else files[file.path]
            wanted[link] = Resource(link, file.yarn_type, upload, "" if upload else file.source)
        for link in (ENVIRONMENT_LINK, PACKED_LINK):
            wanted.pop(link, None)  # a file of the service that is the environment's archive, too
        resources[name] = (*found, *wanted.values())
    return LaunchPlan(facts.new.id, spec, facts, jar, resources, scripts, (*spec.tags, *tags))


def _shared(service: Service, files: Mapping[str, Upload]) -> bool:
    """Whether the service's environment is in a cache that all users share."""
    local = files.get(service.environment.archive) if service.environment else None
    return bool(local and local.root)
