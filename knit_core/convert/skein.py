"""skein's application specifications (YAML or JSON)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from knit_core.convert.draft import Conversion, Draft, Mark, Source
from knit_core.convert.fields import Fields, read
from knit_core.convert.shell import variables
from knit_core.model.units import mebibytes
from knit_core.spec.base import ARCHIVES

KIND = "skein"
_ARCHIVES = (".zip", ".tar.gz", ".tgz")  # what skein unpacks by itself
_OWN_API = re.compile(r"\bSKEIN_[A-Z_]+|\bskein\b")
_FPGA = "yarn.io/fpga"
_AFTER = "outside of services it has no effect here: only services run"


def convert(sources: Mapping[str, Source]) -> Conversion:
    """Convert one specification.

    Raises:
        SpecError: it cannot be converted; with all reasons.
    """
    (source,) = sources.values()
    draft = Draft(KIND, source.name)
    top = Fields(draft, read(source, "json" if source.text.lstrip()[:1] == "{" else "yaml"), source.name)
    draft.put(("name",), top.text("name", "skein"), top.mark("name"))
    draft.put(("queue",), top.text("queue") or None, top.mark("queue"))
    draft.put(("attempts",), top.whole("max_attempts"), top.mark("max_attempts"))
    draft.put(("tags",), top.texts("tags") or None, top.mark("tags"))
    top.lose("user", "launch it with the setting proxy_user, or `knit --user`")
    top.lose("file_systems", "name other file systems in the setting namenode")
    _acls(draft, top.fields("acls"))
    label = top.text("node_label")
    draft.put(("master_label",), label or None, top.mark("node_label"))
    services = top.fields("services")
    draft.check_number(len(services.pairs))
    names: dict[str, str] = {}
    for name in services:
        names[name] = draft.service_name(name, names.values(), services.mark(name))
    _master(draft, top.fields("master"), list(names.values()), label)
    for name, plain in names.items():
        _service(draft, services.fields(name), plain, names, label)
    top.rest("skein has no such key")
    return draft.finish()


def _acls(draft: Draft, acls: Fields) -> None:
    if not acls.flag("enable"):
        acls.rest("skein ignores ACLs without `enable: true`")
        return
    for kind in ("view", "modify"):
        users, groups = acls.texts(f"{kind}_users"), acls.texts(f"{kind}_groups")
        if users or groups:
            text = "*" if "*" in [*users, *groups] else f"{','.join(users)} {','.join(groups)}".rstrip()
            draft.put(("acls", kind), text, acls.mark(f"{kind}_users" if users else f"{kind}_groups"))
    if set(acls.texts("ui_users")) - set(acls.texts("view_users")):
        acls.lose("ui_users", "who may view an application may view its page: name them in acls.view")
    acls.rest()


def _master(draft: Draft, master: Fields, services: list[str], label: str) -> None:
    """The application driver, if there is one, becomes a service; its end is the application's."""
    for key, why in (
        ("log_level", "the ApplicationMaster's log has one level"),
        ("log_config", "the ApplicationMaster's log is not configurable"),
        ("security", "Knit signs with a key per user: no certificates are needed"),
    ):
        master.lose(key, why)
    if not master.text("script"):
        resources = master.fields("resources")
        draft.master_memory(_memory(resources), resources.mark("memory"), resources.path("memory"))
        resources.rest("the ApplicationMaster has one core")
        master.rest(_AFTER)
        return
    name = next(each for each in ("driver", "skein-driver", "application-driver") if each not in services)
    where = ("services", name)
    _container(draft, master, name)
    draft.put((*where, "node_label"), label or None, master.mark())
    draft.put((*where, "manages"), True, master.mark("script"))
    draft.put(("completion",), [name], master.mark("script"))
    draft.lose(master.mark("script"), "master.script", f"it runs in the service {name!r}, in a container of its own")
    master.rest()


def _service(draft: Draft, service: Fields, name: str, names: Mapping[str, str], label: str) -> None:
    where = ("services", name)
    _container(draft, service, name)
    instances = service.whole("instances")
    draft.put((*where, "instances"), instances, service.mark("instances"))
    needs = {}
    for other in service.texts("depends"):
        if other not in names:
            service.wrong("depends", f"{other!r} is no service")
        needs[names.get(other, other)] = "started"
    draft.put((*where, "depends_on"), needs or None, service.mark("depends"))
    _restart(draft, service, name, instances)
    if service.flag("allow_failures"):
        draft.put((*where, "required"), False, service.mark("allow_failures"))
        service.lose("allow_failures", "failed instances do not end the application; in the end its outcome is FAILED")
    own = service.text("node_label", label)
    draft.put((*where, "node_label"), own or None, service.mark("node_label"))
    nodes, racks = service.texts("nodes"), service.texts("racks")
    draft.put((*where, "nodes"), nodes or None, service.mark("nodes"))
    draft.put((*where, "racks"), racks or None, service.mark("racks"))
    if service.flag("relax_locality") and (nodes or racks):
        draft.put((*where, "relax_locality"), True, service.mark("relax_locality"))
    service.rest("skein has no such key")


def _restart(draft: Draft, service: Fields, name: str, instances: int | None) -> None:
    limit = service.whole("max_restarts", 0) or 0
    if limit < -1:
        service.wrong("max_restarts", "should be -1 or more")
    elif limit:
        policy = {"policy": "on-failure", "limit": None if limit < 0 else limit}
        draft.put(("services", name, "restart"), policy, service.mark("max_restarts"))
        if limit > 0 and instances != 1 and instances is not None:
            service.lose("max_restarts", "the limit counts for each instance, not for all of the service")


def _container(draft: Draft, fields: Fields, name: str) -> None:
    """Command, resources, files and variables, which the driver and services have."""
    where = ("services", name)
    script = fields.text("script")
    if "commands" in fields:  # of skein before 0.4
        script = "\n".join(fields.texts("commands"))
    key = "commands" if "commands" in fields else "script"
    if not script.strip():
        fields.wrong(key, "the script is missing")
    draft.put((*where, "command"), script, fields.mark(key))
    found = _OWN_API.search(script)
    if found:
        fields.lose(
            key, f"it uses {found[0]!r}, which is not there: `import knit_container`, `python3 -m knit_container`"
        )
    _resources(draft, fields.fields("resources"), where)
    env = fields.fields("env")
    variables(draft, name, {key: (text, env.mark(key)) for key, text in env.all_texts().items()})
    _files(draft, fields.fields("files"), where)


def _memory(resources: Fields) -> int | None:
    text = resources.text("memory")
    if not text:
        return None
    try:
        return mebibytes(text)
    except ValueError as error:
        resources.wrong("memory", str(error))
        return None


def _resources(draft: Draft, resources: Fields, where: tuple[str, ...]) -> None:
    draft.put((*where, "memory"), _memory(resources), resources.mark("memory"))
    for key in ("vcores", "gpus"):
        draft.put((*where, key), resources.whole(key) or None, resources.mark(key))
    fpgas = resources.whole("fpgas")
    draft.put((*where, "resources"), {_FPGA: fpgas} if fpgas else None, resources.mark("fpgas"))
    resources.rest("skein has no such key")


def _files(draft: Draft, files: Fields, where: tuple[str, ...]) -> None:
    found = []
    for target in files:
        name = target.removeprefix("./")
        mark = files.mark(target)
        source, kind = _file(draft, files, target)
        if "/" in name or name in {"", ".", ".."}:
            draft.refuse(mark, f"{files.path(target)}: should be a file name without a folder")
        elif name == "environment" and source.lower().endswith(ARCHIVES):
            draft.put(
                (*where, "environment"), source, mark
            )  # unpacked there, so that `source environment/bin/activate` works
        elif name == "environment":
            draft.refuse(
                mark, f"{files.path(target)}: this name is reserved for the Python environment: rename the file"
            )
        elif source:
            found.append({"source": source, "name": name, "type": kind})
    draft.put((*where, "files"), found or None, files.mark())


def _file(draft: Draft, files: Fields, target: str) -> tuple[str, str]:
    """Source and type of a file."""
    node = files.node(target)
    if node is None or node.kind == "scalar":
        source, kind = files.text(target), ""
    else:
        each = files.fields(target)
        source, kind = each.text("source"), each.text("type").upper()
        if kind not in {"", "FILE", "ARCHIVE"}:
            each.wrong("type", f"should be file or archive, not {kind.lower()[:40]!r}")
        if each.text("visibility").lower() == "public":
            each.lose("visibility", "files are private; environments can be shared with all users: `shared_cache`")
        each.asked |= {"visibility", "size", "timestamp"}  # determined by Knit
        each.rest("skein has no such key")
    if not source:
        draft.refuse(files.mark(target), f"{files.path(target)}: the source is missing")
    return source, kind or ("ARCHIVE" if source.lower().endswith(_ARCHIVES) else "FILE")


__all__ = ["KIND", "Mark", "convert"]
