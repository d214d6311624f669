"""TonY: tony.xml, and the options of its ClusterSubmitter."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from knit_core.convert.draft import Conversion, Draft, Mark, Source
from knit_core.convert.hadoop_xml import Property, read_properties
from knit_core.convert.options import Options, parse
from knit_core.convert.shell import variables, with_setup, words
from knit_core.convert.tony_runtime import setup_lines
from knit_core.errors import SpecError
from knit_core.model.units import mebibytes
from knit_core.spec.base import ARCHIVES

KIND = "tony"
DEFAULT_FILE = "tony.xml"
LONGEST_GANG = 540  # seconds; YARN takes containers back that are not used for 10 minutes, its default
_VALUES = ("executes", "task_params", "shell_env", "container_env", "conf", "conf_file", "src_dir", "python_venv",
           "python_binary_path", "hdfs_classpath", "sidecar_tensorboard_log_dir")  # fmt: skip
_CLIENT = re.compile(r"com\.linkedin\.tony|(?:^|\s)--?(?:executes|python_venv|python_binary_path)[\s=]")
_INSTANCES = re.compile(r"tony\.([a-z]+)\.instances")
_OF_A_JOB = ("instances", "memory", "vcores", "gpus", "command", "node-label", "resources", "depends-on")
_NOT_JOBS = frozenset(
    {"application", "task", "am", "containers", "container", "docker", "yarn", "execution", "history"}
)
_SILENT = re.compile(
    r"tony\.(history|https?|portal|keytab|secret|version-info)\..*|tony\.task\.(heartbeat|max-missed|metrics|gpu-metrics|am\.jvm|executor).*"
    r"|tony\.application\.(security\.enabled|num-client-rm-connect-retries|hadoop\..*|(hdfs|yarn|mapred)-conf-path)"
    r"|tony\.am\.(vcores|gpus|startup-timeout|wait-client-signal-stop-timeout-sec)|tony\.container\.registration\.timeout"
)
_OF_TONY = "it configures TonY itself"


def looks_like(text: str) -> bool:
    """Whether a text is a command line of TonY."""
    return bool(_CLIENT.search(text) and re.search(r"(?:^|\s)--?(executes|conf_file|conf|src_dir)\b", text))


def conf_file(source: Source) -> str:
    """The name of the configuration file in a command line; by default tony.xml."""
    found = re.search(r"--?conf_file[\s=]+[\"']?([^\s\"']+)", source.text)
    return found[1] if found else DEFAULT_FILE


def convert(sources: Mapping[str, Source]) -> Conversion:
    """Convert one application.

    Args:
        sources: "conf", "command", or both: tony.xml and a command line.

    Raises:
        SpecError: it cannot be converted; with all reasons.
    """
    main = sources.get("command") or sources["conf"]
    draft = Draft(KIND, main.name)
    options = Options(draft, 0)
    if "command" in sources:
        line = words(main.name, main.text)
        names = [word.text.lstrip("-").partition("=")[0] if word.text.startswith("-") else "" for word in line]
        first = next((index for index, name in enumerate(names) if name in _VALUES), len(line))
        options = parse(draft, line[first:], values=_VALUES, flags=("help", "debug"))
        if "conf_file" in options and "conf" not in sources:
            file = posixpath.basename(options.text("conf_file"))
            raise SpecError(
                [f"{options.mark('conf_file')}: -conf_file {file}: name it too: knit convert {main.name} {file}"]
            )
    properties = {row.name: row for row in read_properties(sources["conf"])} if "conf" in sources else {}
    return _Tony(draft, options, properties).convert()


class _Tony:
    def __init__(self, draft: Draft, options: Options, properties: dict[str, Property]) -> None:
        self.draft, self.options, self.properties = draft, options, properties
        for text, mark in options.marked("conf"):
            name, equals, value = text.partition("=")
            if not equals:
                draft.refuse(mark, f"-conf: should be name=value, not {text[:80]!r}")
            properties[name.strip()] = Property(name.strip(), value.strip(), mark)
        self.asked: set[str] = set()
        self.later: dict[str, set[str]] = {}  # jobs that only start after the success of this one

    def text(self, name: str, default: str = "") -> str:
        self.asked.add(name)
        return self.properties[name].value if name in self.properties else default

    def mark(self, name: str) -> Mark:
        return self.properties[name].mark if name in self.properties else self.options.mark("executes")

    def whole(self, name: str, default: int | None = None) -> int | None:
        text = self.text(name)
        if not text:
            return default
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            self.draft.refuse(self.mark(name), f"{name}: should be a whole number, not {text[:40]!r}")
            return default
        return int(text)

    def several(self, name: str, default: str = "") -> list[str]:
        return [part.strip() for part in self.text(name, default).split(",") if part.strip()]

    def lose(self, name: str, why: str) -> None:
        self.asked.add(name)
        if self.properties.get(name, Property("", "", Mark(""))).value:
            self.draft.lose(self.mark(name), name, why)

    def convert(self) -> Conversion:
        draft = self.draft
        jobs = {
            found[1]: number
            for name in self.properties
            if (found := _INSTANCES.fullmatch(name)) and (number := self.whole(name)) and found[1] not in _NOT_JOBS
        }
        draft.check_number(len(jobs))
        if not jobs:
            draft.refuse(Mark(draft.file), "no tony.<job>.instances is more than 0: there is nothing to run")
        self.application()
        untracked = {*self.several("tony.application.untracked.jobtypes", "ps")}
        sidecars = {*self.several("tony.application.sidecar.jobtypes", "tensorboard")}
        tracked = [job for job in jobs if job not in untracked | sidecars]
        if jobs and not tracked:
            draft.refuse(
                self.mark("tony.application.untracked.jobtypes"),
                "no job is waited for: it would have no end",
            )
        self.stages(jobs, tracked)
        for job, number in jobs.items():
            self.job(job, number, jobs, tracked, sidecars)
        if tracked != list(jobs):
            draft.put(("completion",), tracked, self.mark("tony.application.untracked.jobtypes"))
        self.rest()
        return draft.finish()

    def application(self) -> None:
        draft = self.draft
        for field, name in (
            ("name", "tony.application.name"),
            ("queue", "tony.yarn.queue"),
            ("master_label", "tony.application.node-label"),
        ):
            draft.put((field,), self.text(name) or None, self.mark(name))
        draft.put(("tags",), self.several("tony.application.tags") or None, self.mark("tony.application.tags"))
        timeout = self.whole("tony.application.timeout", 0) or 0
        draft.put(("lifetime",), timeout / 1000 if timeout > 0 else None, self.mark("tony.application.timeout"))
        retries = self.whole("tony.am.retry-count")
        if retries is not None:
            draft.put(("attempts",), retries + 1, self.mark("tony.am.retry-count"))
            self.lose(
                "tony.am.retry-count", "containers go on when the ApplicationMaster is started again"
            ) if retries else None
        draft.master_memory(self.memory("tony.am.memory"), self.mark("tony.am.memory"), "tony.am.memory")
        if self.text("tony.application.distributed-mode", "GANG").upper() != "GANG":
            self.lose("tony.application.distributed-mode", "instances wait for the addresses of all others")
        for name, why in (
            ("tony.application.type", "the type is KNIT"),
            ("tony.other.namenodes", "name other file systems in the setting namenode"),
            ("tony.application.placement-spec", "only anti_affinity, nodes, racks and node_label are there"),
            ("tony.containers.placement-spec", "only anti_affinity, nodes, racks and node_label are there"),
            ("tony.containers.allocation-tags", "containers have no allocation tags"),
        ):
            self.lose(name, why)
        if self.text("tony.application.enable-preprocess", "false").lower() == "true":
            draft.refuse(self.mark("tony.application.enable-preprocess"), "tony.application.enable-preprocess: the "
                         "ApplicationMaster runs no program: make it a job, on which the others depend")  # fmt: skip
        self.options.lose("hdfs_classpath", "name its jars in `files`")
        self.options.lose("debug", "nothing of the launch is left behind")
        why = "make it a service with `required: false`, and show it by knit_container.page"
        self.options.lose("sidecar_tensorboard_log_dir", why)
        self.lose("tony.application.tensorboard-log-dir", why)

    def memory(self, name: str) -> int | None:
        text = self.text(name)
        if not text:
            return None
        try:
            return mebibytes(text)
        except ValueError as error:
            self.draft.refuse(self.mark(name), f"{name}: {error}")
            return None

    def stages(self, jobs: Iterable[str], tracked: Iterable[str]) -> None:
        """The training stage waits for the success of the preparing one; jobs also wait as `depends-on` says."""
        prepare, training = "tony.application.prepare-stage", "tony.application.training-stage"
        first, second = self.several(prepare), self.several(training)
        mark = prepare if prepare in self.properties else training
        if second and not first:
            first = [job for job in jobs if job not in second]
        elif first and not second:
            second = [job for job in jobs if job not in first]
        for job in second:
            needs = {other: "succeeded" for other in first if other in tracked and other in jobs}
            for other in needs:
                self.later.setdefault(other, set()).add(job)
            if job in jobs and needs:
                self.draft.put(
                    ("services", job, "depends_on"),
                    needs,
                    self.mark(mark),
                )

    def job(self, job: str, number: int, jobs: Mapping[str, int], tracked: list[str], sidecars: set[str]) -> None:
        draft, where, prefix = self.draft, ("services", job), f"tony.{job}."
        draft.put((*where, "instances"), number, self.mark(f"{prefix}instances"))
        draft.put((*where, "memory"), self.memory(f"{prefix}memory") or 2048, self.mark(f"{prefix}memory"))
        draft.put((*where, "vcores"), self.whole(f"{prefix}vcores", 1), self.mark(f"{prefix}vcores"))
        draft.put((*where, "gpus"), self.whole(f"{prefix}gpus") or None, self.mark(f"{prefix}gpus"))
        draft.put((*where, "node_label"), self.text(f"{prefix}node-label") or None, self.mark(f"{prefix}node-label"))
        needs = {other: "started" for other in self.several(f"{prefix}depends-on")}
        draft.put((*where, "depends_on"), needs or None, self.mark(f"{prefix}depends-on"))
        self.command(job, jobs)
        self.environment(job)
        if job in sidecars:
            draft.put((*where, "required"), False, self.mark("tony.application.sidecar.jobtypes"))
        elif job in tracked and self.text("tony.application.fail-on-worker-failure-enabled", "false").lower() != "true" \
                and job not in self.several("tony.application.stop-on-failure-jobtypes", "ps") and job != "chief":  # fmt: skip
            draft.put((*where, "required"), False, self.mark("tony.application.fail-on-worker-failure-enabled"))
            draft.lose(self.mark(f"{prefix}instances"), f"{prefix}instances",
                       "a failed instance does not end the others; in the end the outcome is FAILED if one has failed")  # fmt: skip
        timeout = self.whole("tony.container.allocation.timeout", 0) or 0
        if timeout > 0 and number > 1:
            draft.put(
                (*where, "gang"), min(timeout / 1000, LONGEST_GANG), self.mark("tony.container.allocation.timeout")
            )

    def command(self, job: str, jobs: Mapping[str, int]) -> None:
        draft, options, prefix = self.draft, self.options, f"tony.{job}."
        name = f"{prefix}command" if f"{prefix}command" in self.properties else "tony.containers.command"
        command, mark = self.text(name), self.mark(name)
        files: list[dict[str, str]] = []
        setup: list[str] = []
        venv, python = options.text("python_venv"), options.text("python_binary_path")
        if venv:
            files.append({"source": venv, "name": "venv", "type": "ARCHIVE"})
        if options.text("executes") and f"{prefix}command" not in self.properties:
            interpreter = python if python.startswith("/") or not venv else f"venv/{python}"
            command = " ".join(
                filter(None, (python and interpreter, options.text("executes"), options.text("task_params")))
            )
            mark = options.mark("executes")
        source = options.text("src_dir")
        if source and not source.lower().endswith(ARCHIVES):
            draft.refuse(options.mark("src_dir"), f"-src_dir {source}: it is a folder: make an archive of what is in it "
                         f"(cd {source} && zip -r ../src.zip .), and name that")  # fmt: skip
        elif source:
            files.append({"source": source, "name": "src", "type": "ARCHIVE"})
            setup.append("cp -R src/. .")
        if not command.strip():
            mark = mark if mark.line else self.mark(f"{prefix}instances")
            draft.refuse(
                mark, f"{prefix}command: there is no command, here, in tony.containers.command or as -executes"
            )
            return
        name = "tony.application.framework"
        known = {each: count for each, count in jobs.items() if each not in self.later.get(job, ())}
        setup += setup_lines(self.text(name, "tensorflow").lower(), job, known, draft, self.mark(name))
        draft.put(("services", job, "command"), with_setup(setup, command), mark)
        for name in ("tony.containers.resources", f"{prefix}resources"):
            files += [row for part in self.several(name) if (row := self.file(name, part))]
        draft.put(("services", job, "files"), files or None, mark)

    def file(self, name: str, text: str) -> dict[str, str] | None:
        """`path::name#archive`."""
        archive = text.lower().endswith("#archive")
        path, *names = (text[: -len("#archive")] if archive else text).split("::")
        if len(names) > 1 or not path:
            self.draft.refuse(self.mark(name), f"{name}: should be path::name#archive, not {text[:80]!r}")
            return None
        kind = "ARCHIVE" if archive else "FILE"
        return {"source": path, "name": names[0] if names else posixpath.basename(path.rstrip("/")), "type": kind}

    def environment(self, job: str) -> None:
        given = {}
        for name, option in (("tony.containers.envs", "container_env"), ("tony.execution.envs", "shell_env")):
            pairs = [(text, self.mark(name)) for text in self.several(name)]
            for text, mark in [*pairs, *self.options.marked(option)]:
                key, _, value = text.partition("=")
                given[key.strip()] = (value, mark)
        variables(self.draft, job, given)
        images = (f"tony.docker.{job}.image", "tony.docker.containers.image")
        image = next((name for name in images if name in self.properties), images[-1])
        mounts = self.several("tony.docker.containers.mount")
        if self.text("tony.docker.enabled", "false").lower() == "true":
            docker: dict[str, Any] = {"image": self.text(image)}
            self.draft.put(
                ("services", job, "docker"), docker | ({"mounts": mounts} if mounts else {}), self.mark(image)
            )
        for name in (*images, "tony.docker.containers.mount"):
            self.asked.add(name)

    def rest(self) -> None:
        for name, row in self.properties.items():
            job = re.fullmatch(r"tony\.([a-z]+)\.(.+)", name)
            if name in self.asked or (_SILENT.fullmatch(name) and not row.value):
                continue
            if _SILENT.fullmatch(name):
                self.draft.lose(row.mark, name, _OF_TONY)
            elif job and job[1] not in _NOT_JOBS and job[2] in _OF_A_JOB:
                self.draft.lose(row.mark, name, f"tony.{job[1]}.instances is 0 or absent")
            else:
                self.draft.lose(row.mark, name)


__all__ = ["KIND", "conf_file", "convert", "looks_like"]
