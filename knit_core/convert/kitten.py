"""kitten's Lua files: the table that is given to `yarn`."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from knit_core.convert.draft import Conversion, Draft, Mark, Source
from knit_core.convert.lua import Lines, Table, run
from knit_core.convert.shell import variables, yarn_command
from knit_core.errors import SpecError
from knit_core.spec.problems import shorten

KIND = "kitten"
_INHERITED = ("memory", "cores", "env", "resources", "instances", "command", "commands", "priority")
_OWN_MASTER = "com.cloudera.kitten.appmaster.ApplicationMaster"
_JOB_FILE = "job.xml"


def convert(sources: Mapping[str, Source], job: str = "") -> Conversion:
    """Convert one application.

    Args:
        sources: the one file.
        job: the name of its table, if the file has several.

    Raises:
        SpecError: the program is wrong, or the application cannot be converted.
    """
    (source,) = sources.values()
    apps = run(source)
    rows = [(names, app) for names, app in apps if not job or job in names]
    if len(rows) != 1:
        known = ", ".join(name for names, _app in apps for name in names[:1]) or "none"
        why = (
            "calls yarn for no application"
            if not apps
            else f"has {len(apps)} applications, name one as FILE:NAME: {known}"
        )
        raise SpecError([f"{source.name}: {why}"])
    names, app = rows[0]
    return _Kitten(source, app, names[0] if names else "yarn").convert()


class _Kitten:
    def __init__(self, source: Source, app: Table, name: str) -> None:
        self.draft = Draft(KIND, source.name)
        self.lines = Lines(source.text)
        self.app = app
        self.name = name

    def mark(self, *path: str) -> Mark:
        return Mark(self.draft.file, self.lines.line(*path) or self.lines.assigned.get(self.name, 0))

    def convert(self) -> Conversion:
        draft, top = self.draft, dict(self.app.named)
        draft.put(("name",), self.text(top.pop("name", None), "name"), self.mark(self.name, "name"))
        if not draft.document.get("name"):
            draft.refuse(self.mark(self.name), "name: it is missing")
        draft.put(("queue",), self.text(top.pop("queue", None), "queue"), self.mark(self.name, "queue"))
        timeout = self.whole(top.pop("timeout", None), "timeout")
        if timeout is not None and timeout > 0:
            draft.put(("lifetime",), timeout / 1000, self.mark(self.name, "timeout"))
        for key, why in (
            ("user", "launch it with the setting proxy_user, or `knit --user`"),
            ("conf", "there is no job.xml in the containers: put a file into `files`"),
        ):
            if top.pop(key, None) not in (None, ""):
                draft.lose(self.mark(self.name, key), key, why)
        self.master(top.pop("master", None), top)
        rows = self.containers(top)
        failures = self.whole(top.pop("tolerated_failures", None), "tolerated_failures")
        for index, row in enumerate(rows):
            self.container(f"container-{index + 1}" if len(rows) > 1 else "container", row, failures)
        for key in top:
            if key not in _INHERITED:
                draft.lose(self.mark(self.name, key), key)
        return draft.finish()

    def containers(self, top: dict[str, Any]) -> list[Table]:
        one, several = top.pop("container", None), top.pop("containers", None)
        rows = [one] if one is not None else list(several.rows) if isinstance(several, Table) else []
        if not rows or not all(isinstance(row, Table) for row in rows):
            self.draft.refuse(self.mark(self.name), "container, containers: should be a table, or a list of tables")
            return []
        self.draft.check_number(len(rows))
        return rows

    def master(self, master: Any, top: Mapping[str, Any]) -> None:
        """Knit has an ApplicationMaster of its own; a program's own one is not run."""
        if not isinstance(master, Table):
            self.draft.refuse(self.mark(self.name), "master: it is missing, or no table")
            return
        command = "\n".join(self.commands(master.named, "master"))
        if command and _OWN_MASTER not in command:
            self.draft.refuse(
                self.mark("master", "command"),
                "master.command: it is not kitten's own ApplicationMaster: what it does for the program is not done here",
            )
        for key in master.named:
            if key not in {"command", "commands"} and not (key in {"env", "resources", "memory"} and command):
                self.draft.lose(
                    self.mark("master", key), f"master.{key}", "Knit's own ApplicationMaster takes what it needs"
                )

    def container(self, name: str, row: Table, failures: int | None) -> None:
        draft, where = self.draft, ("services", name)
        values = {key: self.app.named[key] for key in _INHERITED if key in self.app.named} | dict(row.named)

        def at(key: str) -> Mark:
            paths = [(each, key) for each in ("container", "containers", "node", self.name)]
            return next(
                (mark for path in paths if (mark := Mark(draft.file, self.lines.line(*path))).line), self.mark(key)
            )

        draft.put((*where, "instances"), self.whole(values.get("instances"), "instances", 1), at("instances"))
        draft.put((*where, "memory"), self.whole(values.get("memory"), "memory", 512), at("memory"))
        draft.put((*where, "vcores"), self.whole(values.get("cores"), "cores", 1), at("cores"))
        commands = self.commands(values, name)
        if not commands:
            draft.refuse(at("command"), f"{name}: it has no command")
        command = "\n".join(map(yarn_command, commands))
        if _JOB_FILE in command.split():
            draft.refuse(at("command"), f"{name}.command: {_JOB_FILE}, which kitten writes, is not there")
        draft.put((*where, "command"), command, at("command"))
        env = values.get("env")
        if isinstance(env, Table):
            given = {key: (_written(value), self.mark("env", key)) for key, value in env.named.items()}
            variables(draft, name, given)
        elif env is not None:
            draft.refuse(at("env"), f"{name}.env: should be a table")
        self.files(values.get("resources"), name, at("resources"))
        draft.put((*where, "restart"), "never", at("command"))
        if failures != 0:
            draft.put((*where, "required"), False, self.mark("tolerated_failures"))
            if failures is not None:
                why = "a failed container does not end the others; in the end the outcome is FAILED if one has failed"
                draft.lose(self.mark("tolerated_failures"), "tolerated_failures", why)
        if values.get("priority") not in (None, 0):
            draft.lose(at("priority"), f"{name}.priority", "containers are asked for in the order of `depends_on`")
        for key in row.named:
            if key not in {*_INHERITED, "user", "conf"}:
                draft.lose(at(key), f"{name}.{key}", "kitten has no such field")

    def commands(self, values: Mapping[str, Any], name: str) -> list[str]:
        several = values.get("commands")
        rows = list(several.rows) if isinstance(several, Table) else [values["command"]] if "command" in values else []
        found = []
        for row in rows:
            if isinstance(row, Table):
                args = row.named.get("args")
                words = [_written(row.named.get("base", ""))]
                if isinstance(args, Table):
                    words += [f"{key}={_written(value)}" for key, value in args.named.items()]
                    words += [_written(value) for value in args.rows]
                found.append(" ".join(word for word in words if word))
            elif isinstance(row, str) and row.strip():
                found.append(row)
            else:
                self.draft.refuse(
                    self.mark("command"), f"{name}.command: should be a text, or a table with base and args"
                )
        return found

    def files(self, resources: Any, name: str, mark: Mark) -> None:
        if resources is None:
            return
        if not isinstance(resources, Table):
            self.draft.refuse(mark, f"{name}.resources: should be a table")
            return
        rows = []
        for target, each in [("", row) for row in resources.rows] + list(resources.named.items()):
            row = self.file(target, each)
            if row is not None:
                rows.append(row)
        self.draft.put(("services", name, "files"), rows or None, mark)

    def file(self, target: str, each: Any) -> dict[str, str] | None:
        mark = self.mark("resources", target) if target else self.mark("resources")
        if not isinstance(each, Table):
            self.draft.refuse(mark, f"resources {shorten(target)}: should be a table with file, hdfs or url")
            return None
        values = {key: _written(value) for key, value in each.named.items()}
        source = values.get("file") or values.get("url") or ""
        if "hdfs" in values and not source:
            source = values["hdfs"] if "://" in values["hdfs"] else f"hdfs://{values['hdfs']}"
        kind = values.get("type", "file").upper()
        if not source or kind not in {"FILE", "ARCHIVE"}:
            why = (
                "should have file, hdfs or url"
                if not source
                else f"type should be file or archive, not {kind.lower()[:40]!r}"
            )
            self.draft.refuse(mark, f"resources {shorten(target)}: {why}")
            return None
        return {"source": source, "name": target or posixpath.basename(source), "type": kind}

    def text(self, value: Any, what: str) -> str | None:
        if value is not None and not isinstance(value, str):
            self.draft.refuse(self.mark(self.name, what), f"{what}: should be a text")
            return None
        return value or None

    def whole(self, value: Any, what: str, default: int | None = None) -> int | None:
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.draft.refuse(self.mark(what), f"{what}: should be a whole number, not {shorten(_written(value), 40)}")
            return default
        return value


def _written(value: Any) -> str:
    """A value as Lua's tostring writes it."""
    if isinstance(value, Table):
        return "a table"
    return str(value).lower() if isinstance(value, bool) else str(value)


__all__ = ["KIND", "convert"]
