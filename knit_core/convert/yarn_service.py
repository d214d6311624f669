"""Services of YARN's service framework: the JSON of its REST API (a "Yarnfile")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from knit_core.convert import yarn_service_files as files
from knit_core.convert.draft import Conversion, Draft, Source
from knit_core.convert.fields import Fields, read
from knit_core.convert.shell import placeholders, template, variables, with_setup, yarn_command
from knit_core.convert.yarn_service_names import Names

KIND = "yarn-service"
_OF_A_RUNNING_ONE = ("containers", "state", "launch_time", "number_of_running_containers", "decommissioned_instances")
_PROPERTY = "yarn.service."
_THIS_HOST = re.compile(r"http://\$\{THIS_HOST\}(?::([0-9]{1,5}))?(/[^\s$]*)?")
_PAGE_NAME = re.compile(r"[^A-Za-z0-9._~-]+")


def convert(sources: Mapping[str, Source]) -> Conversion:
    """Convert one service.

    Raises:
        SpecError: it cannot be converted; with all reasons.
    """
    (source,) = sources.values()
    draft = Draft(KIND, source.name)
    top = Fields(draft, read(source, "json"), source.name)
    name = top.text("name")
    draft.put(("name",), name or None, top.mark("name"))
    draft.put(("queue",), top.text("queue") or None, top.mark("queue"))
    lifetime = top.whole("lifetime")
    draft.put(("lifetime",), lifetime if lifetime and lifetime > 0 else None, top.mark("lifetime"))
    _tags(draft, top)
    top.lose("kerberos_principal", "a ticket or keytab of the client is used: docs/kerberos.md")
    top.lose("docker_client_config", "the nodes' own configuration of Docker is used")
    for key in (*_OF_A_RUNNING_ONE, "id"):
        top.lose(key, "describes a running service")
    configuration = top.fields("configuration")
    properties = configuration.fields("properties")
    _application_properties(draft, properties)
    rows = top.rows("components")
    draft.check_number(len(rows))
    names: dict[str, str] = {}
    for row in rows:
        original = row.text("name")
        if not original:
            row.wrong("name", "it is missing")
            continue
        names[original] = draft.service_name(original, names.values(), row.mark("name"))
    links = _quicklinks(draft, top, names)
    for row in rows:
        if row.text("name"):
            _component(draft, row, top, Names(name, row.text("name"), names), links)
    properties.asked |= set(_COMPONENT_PROPERTIES)
    properties.rest("no property of Knit, and no variable of the program")
    configuration.asked |= {"env", "files"}
    configuration.rest()
    top.asked |= {"artifact", "resource", "launch_command", "number_of_containers"}
    top.rest("the API has no such key")
    return draft.finish()


def _tags(draft: Draft, top: Fields) -> None:
    """Version and description are tags of the application, as YARN's own framework sets them."""
    tags = []
    for key in ("version", "description"):
        text = top.text(key)
        tag = f"{key}: {text}"
        if text and tag.isascii() and tag.isprintable() and "," not in tag and len(tag) <= 100:
            tags.append(tag)
        elif text:
            top.lose(key, "no tag: a tag is one line of at most 100 ASCII characters without commas")
    draft.put(("tags",), tags or None, top.mark("version"))


def _application_properties(draft: Draft, properties: Fields) -> None:
    attempts = properties.whole(f"{_PROPERTY}am-restart.max-attempts")
    draft.put(("attempts",), attempts, properties.mark(f"{_PROPERTY}am-restart.max-attempts"))
    key = f"{_PROPERTY}am-resource.memory"
    draft.master_memory(properties.whole(key), properties.mark(key), properties.path(key))
    for ours, theirs in (
        ("include", "log.include-pattern"),
        ("exclude", "log.exclude-pattern"),
        ("rolled_include", "rolling-log.include-pattern"),
        ("rolled_exclude", "rolling-log.exclude-pattern"),
    ):
        draft.put(("logs", ours), properties.text(_PROPERTY + theirs) or None, properties.mark(_PROPERTY + theirs))
    failures = properties.whole(f"{_PROPERTY}node-blacklist.threshold")
    draft.put(("node_failures",), failures, properties.mark(f"{_PROPERTY}node-blacklist.threshold"))


def _quicklinks(draft: Draft, top: Fields, names: Mapping[str, str]) -> dict[str, tuple[str, int, str, str]]:
    """For each link: the component's name here or "", port, path, and the page's name."""
    found = {}
    fields = top.fields("quicklinks")
    for key, url in fields.all_texts().items():
        parts = re.fullmatch(r"https?://([^/:]+)(?::([0-9]{1,5}))?(/\S*)?", url)
        label = (parts[1].partition(".")[0] if parts else "").strip()
        component = next((plain for name, plain in names.items() if re.fullmatch(rf"{re.escape(name)}-?0", label)), "")
        own = bool(parts) and ("${THIS_HOST}" in url or "${COMPONENT_INSTANCE_NAME}" in label)
        port = int(parts[2] or (443 if url.startswith("https") else 80)) if parts else 0
        if parts is None or url.startswith("https") or not (component or own) or not 0 < port < 65536:
            draft.lose(
                fields.mark(key), fields.path(key), "it is no plain http address of a component's first instance"
            )
            continue
        path = parts[3] if parts[3] and "$" not in parts[3] else "/"
        found[key] = (component, port, path, _PAGE_NAME.sub("-", key).strip("-") or "page")
    return found


def _component(
    draft: Draft, row: Fields, top: Fields, names: Names, links: Mapping[str, tuple[str, int, str, str]]
) -> None:
    where = ("services", names.service)
    for key in _OF_A_RUNNING_ONE:
        row.lose(key, "describes a running service")
    count = row.whole("number_of_containers", top.whole("number_of_containers"))
    if count is None:
        row.wrong("number_of_containers", "it is missing, here and at the service")
    draft.put((*where, "instances"), count, row.mark("number_of_containers"))
    needs = {names.all.get(each, each): "ready" for each in row.texts("dependencies")}
    draft.put((*where, "depends_on"), needs or None, row.mark("dependencies"))
    _resource(draft, row.fields("resource") if "resource" in row else top.fields("resource"), where)
    docker = _artifact(draft, row, row if "artifact" in row else top, where)
    properties, setup = _configuration(draft, row, top, names, docker is not None)
    setup += _pages(row, names, links)
    if docker is not None:
        privileged = row.flag("run_privileged_container")
        network = properties.get("docker.network")
        value: dict[str, Any] = {"image": docker, **({"privileged": True} if privileged else {})}
        draft.put((*where, "docker"), value | ({"network": network} if network else {}), row.mark("artifact"))
    else:
        row.lose("run_privileged_container", "without an artifact of Docker it has no effect")
    _command(draft, row, top, names, setup)
    _readiness(draft, row.fields("readiness_check"), where, properties)
    _placement(draft, row, where, names)
    _restart(draft, row, where, properties)
    row.rest("the API has no such key")


def _command(draft: Draft, row: Fields, top: Fields, names: Names, setup: list[str]) -> None:
    holder = row if "launch_command" in row else top
    command = holder.text("launch_command")
    if not command.strip():
        draft.refuse(
            row.mark(),
            f"{row.path('launch_command')}: it is missing; a container's entry point is not run: write it here",
        )
        return
    text, used = names.in_command(command, holder, "launch_command")
    exports = [f"export {name}={template('${' + name + '}', names.dynamic)}" for name in used]
    draft.put(
        ("services", names.service, "command"),
        with_setup([*exports, *setup], yarn_command(text)),
        holder.mark("launch_command"),
    )


def _resource(draft: Draft, resource: Fields, where: tuple[str, ...]) -> None:
    memory, cores = resource.whole("memory"), resource.whole("cpus")
    draft.put((*where, "memory"), memory, resource.mark("memory"))
    draft.put((*where, "vcores"), cores, resource.mark("cpus"))
    if "profile" in resource:
        if memory is None or cores is None:
            resource.wrong("profile", "what it stands for is only known to the cluster: write cpus and memory")
        resource.lose("profile", "cpus and memory are used")
    additional = resource.fields("additional")
    for name in additional:
        each = additional.fields(name)
        if each.text("unit"):
            each.wrong(
                "unit", "amounts have the unit that the cluster gives the resource: write the value in it, without unit"
            )
        value = each.whole("value")
        if name == "yarn.io/gpu":
            draft.put((*where, "gpus"), value, each.mark("value"))
        else:
            draft.put((*where, "resources", name), value, each.mark("value"))
        each.lose("attributes")
        each.lose("tags")
        each.rest("the API has no such key")
    resource.rest("the API has no such key")


def _artifact(draft: Draft, row: Fields, holder: Fields, where: tuple[str, ...]) -> str | None:
    """The image of a Docker artifact; a tarball becomes an archive `lib`."""
    artifact = holder.fields("artifact")
    if not artifact.pairs:
        return None
    kind, name = artifact.text("type", "DOCKER").upper(), artifact.text("id")
    artifact.lose("uri")
    if not name:
        artifact.wrong("id", "it is missing")
    elif kind == "DOCKER":
        return name
    elif kind == "TARBALL":
        source = name if "://" in name else f"hdfs://{name}" if name.startswith("/") else name
        draft.put((*where, "files"), [{"source": source, "name": "lib", "type": "ARCHIVE"}], artifact.mark("id"))
    else:
        artifact.wrong(
            "type", f"{kind[:40]}: the components of another service cannot be read here: write them into this file"
        )
    return None


def _configuration(
    draft: Draft, row: Fields, top: Fields, names: Names, docker: bool
) -> tuple[dict[str, str], list[str]]:
    """Properties (the service's, then the component's), and lines that set variables and write files."""
    own, common = row.fields("configuration"), top.fields("configuration")
    found: dict[str, str] = {}
    setup: list[str] = []
    given: dict[str, tuple[str, Any]] = {}
    for fields in (common, own):
        properties = fields.fields("properties")
        found |= properties.all_texts()
        if fields is own:
            properties.asked |= set(_COMPONENT_PROPERTIES)
            properties.rest("no property of Knit, and no variable of the program")
        env = fields.fields("env")
        for name, text in env.all_texts().items():
            text = names.fixed(text, env, name)
            if set(placeholders(text)) & set(names.dynamic):
                setup = [line for line in setup if not line.startswith(f"export {name}=")]
                setup.append(f"export {name}={template(text, names.dynamic)}")
                given.pop(name, None)
            elif "<LOG_DIR>" in text:
                setup.append(
                    f"export {name}={template(text.replace('<LOG_DIR>', '${LOG_DIR}'), {'LOG_DIR': '${LOG_DIRS%%,*}'})}"
                )
            else:
                given[name] = (text, env.mark(name))
    if given.get("YARN_CONTAINER_RUNTIME_DOCKER_RUN_OVERRIDE_DISABLE", ("",))[0].lower() == "true":
        draft.refuse(given["YARN_CONTAINER_RUNTIME_DOCKER_RUN_OVERRIDE_DISABLE"][1], "the image's entry point is not run: "
                     "write the whole command as launch_command, without this variable")  # fmt: skip
    variables(draft, names.service, given)
    setup += files.convert(draft, [common, own], names, docker)
    own.rest("the API has no such key")
    return found, setup


_COMPONENT_PROPERTIES = (
    "docker.network",
    f"{_PROPERTY}container-failure.retry.max",
    f"{_PROPERTY}container-failure.retry-interval-ms",
    f"{_PROPERTY}container-failure.validity-interval-ms",
    f"{_PROPERTY}readiness-check-interval.seconds",
    f"{_PROPERTY}default-readiness-check.enabled",
)


def _pages(row: Fields, names: Names, links: Mapping[str, tuple[str, int, str, str]]) -> list[str]:
    wanted = set(row.texts("quicklinks"))
    lines = []
    for key, (component, port, path, page) in links.items():
        call = f"python3 -m knit_container page {page} {port} --path {template(path, {})}"
        if component == names.service:
            lines.append(f'[ "$KNIT_INSTANCE" != 0 ] || {call}')
        elif not component and key in wanted:
            lines.append(call.replace(f"page {page} ", f'page {page}-"$KNIT_INSTANCE" '))
    return [f"{{ {line} || echo 'knit: the page is not shown' >&2; }}" for line in lines]


def _readiness(draft: Draft, check: Fields, where: tuple[str, ...], properties: Mapping[str, str]) -> None:
    if not check.pairs:
        return
    kind, values = check.text("type").upper(), check.fields("properties")
    ready: dict[str, Any] = {}
    check.lose("artifact", "it is not implemented in YARN's framework either")
    if kind == "HTTP":
        found = _THIS_HOST.fullmatch(values.text("url"))
        if found is None:
            values.wrong("url", "should be http://${THIS_HOST}, with a port and a path: other addresses are not asked")
        else:
            ready = {"http": {"port": int(found[1] or 80), "path": found[2] or "/"}}
    elif kind == "PORT":
        ready = {"tcp": values.whole("port")}
    elif kind != "DEFAULT":
        check.wrong("type", f"should be DEFAULT, HTTP or PORT, not {kind[:40]!r}")
    timeout = values.whole("timeout", 1000) or 1000
    values.rest("it is not asked for; an HTTP status from 200 to 399 is ready")
    if ready:
        interval = properties.get(f"{_PROPERTY}readiness-check-interval.seconds", "30")
        ready |= {"interval": interval, "timeout": max(timeout / 1000, 0.1), "deadline": 0}
        draft.put((*where, "readiness"), ready, check.mark())
    check.rest("the API has no such key")


def _placement(draft: Draft, row: Fields, where: tuple[str, ...], names: Names) -> None:
    policy = row.fields("placement_policy")
    policy.lose("label", "write it as node_partitions")
    for each in policy.rows("constraints"):
        kind, scope = each.text("type").upper(), each.text("scope").upper()
        tags, partitions = each.texts("target_tags"), each.texts("node_partitions")
        each.asked.add("name")
        if len(partitions) == 1:
            draft.put((*where, "node_label"), partitions[0], each.mark("node_partitions"))
        elif partitions:
            each.lose("node_partitions", "a service has one node label")
        if kind == "ANTI_AFFINITY" and scope == "NODE" and set(tags) == {names.component}:
            draft.put((*where, "anti_affinity"), True, each.mark("type"))
        elif kind:
            why = "only anti-affinity of a component to itself on a node; its containers may run on any node"
            draft.lose(each.mark("type"), each.path(), why)
        each.rest("not checked: its containers may run on any node")
    policy.rest("the API has no such key")


def _restart(draft: Draft, row: Fields, where: tuple[str, ...], properties: Mapping[str, str]) -> None:
    policy = row.text("restart_policy", "ALWAYS").upper()
    ours = {"ALWAYS": "always", "ON_FAILURE": "on-failure", "NEVER": "never"}.get(policy)
    if ours is None:
        row.wrong("restart_policy", f"should be ALWAYS, ON_FAILURE or NEVER, not {policy[:40]!r}")
        return
    restart: dict[str, Any] = {"policy": ours}
    if ours != "never":
        number = re.compile(r"[0-9]{1,12}")
        limit = properties.get(f"{_PROPERTY}container-failure.retry.max", "")
        restart["limit"] = int(limit) if number.fullmatch(limit) else None
        window = properties.get(f"{_PROPERTY}container-failure.validity-interval-ms", "")
        delay = properties.get(f"{_PROPERTY}container-failure.retry-interval-ms", "")
        restart |= {"window": int(window) / 1000} if number.fullmatch(window) else {}
        if number.fullmatch(delay):
            restart |= {"first_delay": int(delay) / 1000, "longest_delay": max(int(delay) / 1000, 60)}
    draft.put((*where, "restart"), restart, row.mark("restart_policy"))


def looks_like(top: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a service."""
    components = top.get("components")
    return isinstance(components, list) and any(isinstance(each, dict) and "name" in each for each in components)


__all__ = ["KIND", "convert", "looks_like"]
