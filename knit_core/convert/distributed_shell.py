"""The command line of Hadoop's DistributedShell: `yarn jar hadoop-yarn-applications-distributedshell.jar …`."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Mapping
from typing import Any

from knit_core.convert.draft import Conversion, Draft, Mark, Source
from knit_core.convert.options import Options, parse
from knit_core.convert.shell import variables, words
from knit_core.errors import SpecError

KIND = "distributedshell"
_FLAGS = ("debug", "help", "create", "keep_containers_across_application_attempts", "promote_opportunistic_after_start",
          "enforce_execution_type")  # fmt: skip
_VALUES = (
    "appname", "priority", "queue", "timeout", "master_memory", "master_vcores", "master_resources", "jar",
    "master_resource_profile", "shell_command", "shell_script", "shell_env", "shell_cmd_priority", "container_type",
    "container_memory", "container_vcores", "container_resources", "container_resource_profile", "num_containers",
    "log_properties", "attempt_failures_validity_interval", "domain", "view_acls", "modify_acls", "flow_name",
    "flow_version", "flow_run_id", "node_label_expression", "container_retry_policy", "container_retry_error_codes",
    "container_max_retries", "container_retry_interval", "container_failures_validity_interval", "placement_spec",
    "rolling_log_pattern", "localize_files", "docker_client_config", "application_tags",
)  # fmt: skip
_LOST = {
    "log_properties": "the ApplicationMaster's log is not configurable",
    "debug": "`knit -v` shows each request",
    "domain": "nothing is written to the timeline server",
    "view_acls": "nothing is written to the timeline server; users of the application are in `acls`",
    "modify_acls": "nothing is written to the timeline server; users of the application are in `acls`",
    "create": "nothing is written to the timeline server",
    "flow_name": "nothing is written to the timeline server",
    "flow_version": "nothing is written to the timeline server",
    "flow_run_id": "nothing is written to the timeline server",
    "docker_client_config": "the nodes' own configuration of Docker is used",
    "shell_cmd_priority": "all containers of a service have one priority",
    "promote_opportunistic_after_start": "opportunistic containers stay so",
    "enforce_execution_type": "the scheduler decides",
    "master_vcores": "the ApplicationMaster has one core",
}
_REFUSED = {
    "placement_spec": "placement constraints have no equivalent but anti_affinity, nodes, racks and node_label",
    "container_resource_profile": "what it stands for is only known to the cluster: write container_memory and container_vcores",
}
_SERVICE = "shell"
_WHERE = ("services", _SERVICE)


def looks_like(text: str) -> bool:
    """Whether a text is such a command line."""
    return bool(
        re.search(r"distributed-?shell", text, re.IGNORECASE) and re.search(r"\s--?shell_(command|script)\b", text)
    )


def convert(sources: Mapping[str, Source]) -> Conversion:
    """Convert one command line.

    Raises:
        SpecError: it cannot be converted; with all reasons.
    """
    (source,) = sources.values()
    draft = Draft(KIND, source.name)
    line = words(source.name, source.text)
    first = next((index for index, word in enumerate(line) if word.text.startswith("-")), len(line))
    options = parse(draft, line[first:], values=_VALUES, flags=_FLAGS, lists=("shell_args",))
    if "help" in options:
        raise SpecError([f"{source.name}: --help launches nothing"])
    _application(draft, options)
    _command(draft, options)
    _containers(draft, options)
    _restart(draft, options)
    for name, why in _LOST.items():
        options.lose(name, why)
    for name, why in _REFUSED.items():
        if name in options:
            draft.refuse(options.mark(name), f"{name}: {why}")
    return draft.finish()


def _application(draft: Draft, options: Options) -> None:
    draft.put(("name",), options.text("appname", "DistributedShell"), options.mark("appname"))
    draft.put(("queue",), options.text("queue") or None, options.mark("queue"))
    draft.put(("priority",), options.whole("priority"), options.mark("priority"))
    timeout = options.whole("timeout")
    draft.put(("lifetime",), timeout / 1000 if timeout is not None else None, options.mark("timeout"))
    window = options.whole("attempt_failures_validity_interval")
    if window is not None and window > 0:
        draft.put(("attempt_window",), window / 1000, options.mark("attempt_failures_validity_interval"))
    label = options.text("node_label_expression")
    draft.put(("master_label",), label or None, options.mark("node_label_expression"))
    draft.put((*_WHERE, "node_label"), label or None, options.mark("node_label_expression"))
    tags = [tag.strip() for tag in options.text("application_tags").split(",") if tag.strip()]
    draft.put(("tags",), tags or None, options.mark("application_tags"))
    draft.put(
        ("logs", "rolled_include"), options.text("rolling_log_pattern") or None, options.mark("rolling_log_pattern")
    )
    memory = options.whole("master_memory", options.amounts("master_resources").get("memory-mb"))
    name = "master_memory" if "master_memory" in options else "master_resources"
    draft.master_memory(memory, options.mark(name), name)
    options.lose("master_resource_profile", "the ApplicationMaster takes what it needs")


def _command(draft: Draft, options: Options) -> None:
    command, script = options.text("shell_command"), options.text("shell_script")
    if bool(command) == bool(script):
        draft.refuse(Mark(draft.file, options.line), "there should be one of shell_command and shell_script")
        return
    files: list[dict[str, str]] = []
    if script:
        name = posixpath.basename(script)
        files.append({"source": script, "name": name, "type": "FILE"})
        command = f"bash {shlex.quote(name)}"
    for path in filter(None, options.text("localize_files").split(",")):
        files.append({"source": path, "name": posixpath.basename(path), "type": "FILE"})
    args = " ".join(options.several("shell_args"))
    mark = options.mark("shell_script" if script else "shell_command")
    draft.put((*_WHERE, "command"), f"{command} {args}".rstrip(), mark)
    draft.put((*_WHERE, "files"), files or None, mark)


def _containers(draft: Draft, options: Options) -> None:
    amounts = options.amounts("container_resources")
    of_both = "container_resources"
    draft.put((*_WHERE, "instances"), options.whole("num_containers", 1), options.mark("num_containers"))
    for field, name, key in (("memory", "container_memory", "memory-mb"), ("vcores", "container_vcores", "vcores")):
        value = amounts.pop(key, None)
        given = options.whole(name)
        draft.put((*_WHERE, field), given if value is None else value, options.mark(name if value is None else of_both))
    gpus = amounts.pop("yarn.io/gpu", None)
    draft.put((*_WHERE, "gpus"), gpus, options.mark(of_both))
    draft.put((*_WHERE, "resources"), amounts or None, options.mark(of_both))
    kind = options.text("container_type", "GUARANTEED")
    if kind not in {"GUARANTEED", "OPPORTUNISTIC"}:
        draft.refuse(
            options.mark("container_type"), f"container_type: should be GUARANTEED or OPPORTUNISTIC, not {kind[:40]!r}"
        )
    draft.put((*_WHERE, "opportunistic"), True if kind == "OPPORTUNISTIC" else None, options.mark("container_type"))
    env = {}
    for text, mark in options.marked("shell_env"):
        name, _, assigned = text.strip().partition("=")
        env[name] = (assigned, mark)
    variables(draft, _SERVICE, env)
    # all containers run to their end, and one that failed makes the application fail
    draft.put((*_WHERE, "required"), False, options.mark("num_containers"))


def _restart(draft: Draft, options: Options) -> None:
    policy, limit = options.whole("container_retry_policy", 0), options.whole("container_max_retries", 0) or 0
    codes = options.text("container_retry_error_codes")
    mark = options.mark("container_retry_policy")
    if not policy:
        for name in ("container_retry_error_codes", "container_max_retries", "container_retry_interval"):
            options.lose(name, "it has no effect without container_retry_policy")
        return
    restart: dict[str, Any] = {"policy": "on-failure", "limit": None if limit < 0 else limit}
    delay = options.whole("container_retry_interval", 0) or 0
    restart |= {"first_delay": delay / 1000, "longest_delay": max(delay / 1000, 60)}
    window = options.whole("container_failures_validity_interval", 0) or 0
    draft.put((*_WHERE, "restart"), restart | ({"window": window / 1000} if window > 0 else {}), mark)
    if policy == 2:
        if not re.fullmatch(r"[0-9]{1,3}(,[0-9]{1,3})*", codes):
            draft.refuse(mark, "container_retry_error_codes: should be exit codes, separated by commas")
            return
        wanted = {int(code) for code in codes.split(",")}
        draft.put((*_WHERE, "fatal_codes"), [code for code in range(1, 256) if code not in wanted], mark)
    elif policy != 1:
        draft.refuse(mark, f"container_retry_policy: should be 0, 1 or 2, not {policy}")


__all__ = ["KIND", "convert", "looks_like"]
