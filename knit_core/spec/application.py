"""ApplicationSpec: the specification of one application, as plain data that converts to and from JSON.

This module does not read the disk or the cluster: knit_core.launch.check_launch checks whether files exist and the cluster
can run it. knit_core.spec.documents reads specifications from files.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain, islice
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from knit_core.errors import SpecError
from knit_core.model.queues import queue_name_problem
from knit_core.spec.base import MAX_INT, Memory, Problem, Span, Strict, Whole, refuse
from knit_core.spec.policies import Acls, Condition, LogPatterns, RestartPolicy
from knit_core.spec.problems import MOST_SHOWN, shorten, shorten_list, unknown_options, validate
from knit_core.spec.service import Service

# The memory of an ApplicationMaster (table in docs/configuration.md). MiB outside of the heap: classes, code, stacks.
BESIDE_HEAP = 128
# MiB of heap: Hadoop's clients, current calls, store and results at their limits of 16 MiB each (Java 8 needs two bytes
# per character).
HEAP_BASE = 124
HEAP_PER_INSTANCE = 4  # KiB
MEMORY_STEP = 64  # MiB

_SERVICE_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


class ApplicationSpec(Strict):
    """One application.

    Attributes:
        name: shown by YARN.
        services: by name.
        completion: services that must succeed. When all of them have succeeded, the application has succeeded and the other
            services are ended. By default all services without the restart policy "always"; if empty, the application runs
            until it is ended.
        queue: the scheduler's queue; None for the configured or the cluster's default.
        priority: application priority within the queue; None for the queue's default.
        tags: at most 8, each of at most 100 ASCII characters (YARN allows 10 and stores them in lower case; Knit needs two).
        acls: other users who may view and modify the application.
        logs: which log files YARN keeps.
        attempts: maximum number of attempts of the ApplicationMaster within `attempt_window`.
        attempt_window: seconds (or "1 h"); older failures of the ApplicationMaster do not count.
        lifetime: seconds after which the application is ended, or a text such as "2 h"; 0 for no limit.
        node_failures: number of container failures on one node within ten minutes after which the node is avoided; 0 for
            never.
        master_memory: MiB of the ApplicationMaster's container; None for the amount that its instances need: 256 MiB for up
            to 1,024 instances.
        master_label: node label of the ApplicationMaster's container.
    """

    name: str = Field(default="knit", min_length=1, max_length=250)
    services: dict[str, Service] = Field(min_length=1)
    completion: tuple[str, ...] | None = None
    queue: str | None = None
    priority: Whole | None = Field(default=None, ge=0, le=MAX_INT)
    tags: tuple[str, ...] = ()
    acls: Acls = Acls()
    logs: LogPatterns = LogPatterns()
    attempts: Whole = Field(default=2, ge=1, le=100)
    attempt_window: Span = 3600.0
    lifetime: Annotated[Span, Field(le=10 * 365 * 86400)] = 0.0
    node_failures: Whole = Field(default=3, ge=0, le=1000)
    master_memory: Memory | None = None
    master_label: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$")

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        parameters: Mapping[str, Any] | None = None,
        *,
        overrides: Mapping[str, Any] | None = None,
    ) -> ApplicationSpec:
        """Read a YAML or JSON file: `knit_core.spec.documents.load`."""
        from knit_core.spec import documents

        return documents.load(path, parameters, overrides=overrides)

    @property
    def memory_of_master(self) -> int:
        """MiB of the ApplicationMaster's container: `master_memory`, or the amount for the number of instances."""
        if self.master_memory is not None:
            return self.master_memory
        instances = sum(service.instances for service in self.services.values())
        needed = BESIDE_HEAP + HEAP_BASE + instances * HEAP_PER_INSTANCE / 1024
        return math.ceil(needed / MEMORY_STEP) * MEMORY_STEP

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError(f"a name must be one line of printable characters, not {value!r}")
        return value

    @field_validator("queue")
    @classmethod
    def _queue(cls, value: str | None) -> str | None:
        if value and (problem := queue_name_problem(value)):
            raise ValueError(problem)
        return value

    @field_validator("tags")
    @classmethod
    def _tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong: list[Problem] = [((), f"at most 8 tags are allowed, not {len(value)}")] if len(value) > 8 else []
        for index, tag in enumerate(value):
            if not tag.isascii() or not tag.isprintable() or not 0 < len(tag) <= 100 or "," in tag:
                wrong.append(
                    ((index,), f"a tag must be 1 to 100 printable ASCII characters without a comma, not {shorten(tag)}")
                )
        refuse(wrong)
        return value

    @model_validator(mode="after")
    def _services_together(self) -> ApplicationSpec:
        refuse(islice(chain(self._names(), self._dependencies(), self._completion()), MOST_SHOWN))
        return self

    def _names(self) -> Iterator[Problem]:
        for name in self.services:
            if not _SERVICE_NAME.fullmatch(name):
                yield (
                    ("services", name),
                    f"{shorten(name)} is not a service name: lower-case letters, digits and '-', letter first",
                )

    def _dependencies(self) -> Iterator[Problem]:
        for name, service in self.services.items():
            for other, condition in service.depends_on.items():
                where = ("services", name, "depends_on", other)
                if other not in self.services:
                    yield where, f"{name} depends on {shorten(other)}, which is no service; {self._nearest(other)}"
                elif condition is Condition.SUCCEEDED and not self._can_succeed(other):
                    yield where, f"{name} waits for the success of {other}, which is restarted always"
        yield from self._circles()

    def _circles(self) -> Iterator[Problem]:
        """One problem per cycle of dependencies. Removes the services of a found cycle, then searches again."""
        graph = {name: set(service.depends_on) & set(self.services) for name, service in self.services.items()}
        while True:
            try:
                TopologicalSorter(graph).prepare()
                return
            except CycleError as error:
                circle = list(reversed(error.args[1]))
            yield (
                ("services", circle[0], "depends_on", circle[1]),
                f"services wait for one another in a circle: {' -> '.join(circle)}",
            )
            graph = {name: others - set(circle) for name, others in graph.items() if name not in circle}

    def _completion(self) -> Iterator[Problem]:
        for index, name in enumerate(self.completion or ()):
            where = ("completion", index)
            if name not in self.services:
                yield where, f"completion names {shorten(name)}, which is no service; {self._nearest(name)}"
            elif not self._can_succeed(name):
                yield where, f"completion names {name}, which is restarted always and so never succeeds"

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name[:100], list(self.services)[:1000], n=1)
        return f"did you mean {near[0]!r}?" if near else f"there are: {shorten_list(self.services)}"

    def _can_succeed(self, name: str) -> bool:
        return self.services[name].restart.policy is not RestartPolicy.ALWAYS

    @property
    def must_succeed(self) -> tuple[str, ...]:
        """Services that must succeed for the application to succeed."""
        if self.completion is not None:
            return self.completion
        return tuple(name for name in self.services if self._can_succeed(name))

    @property
    def instances(self) -> int:
        """The number of instances of all services."""
        return sum(service.instances for service in self.services.values())


def check_options(given: Iterable[str], own: Iterable[str], of: str) -> None:
    """Refuse unknown keyword arguments of a call that takes those of a specification.

    Args:
        given: names of the arguments.
        own: the call's own parameters.
        of: the call's name, for messages.

    Raises:
        SpecError: an argument is unknown; with the most similar known name.
    """
    known = {"env", *own, *Service.model_fields, *ApplicationSpec.model_fields} - {"command", "services"}
    wrong = unknown_options(given, known, of)
    if wrong:
        raise SpecError(wrong, heading="Bad options")


def application_spec(spec: ApplicationSpec | Mapping[str, Any] | str | Sequence[str], **short: Any) -> ApplicationSpec:
    """An ApplicationSpec from the argument of a call: an ApplicationSpec, a mapping, or a command with the short form.

    Args:
        spec: an ApplicationSpec, a mapping with its fields, or a command (a text, or a list of words).
        short: with a command: fields of Service and ApplicationSpec (`env` is short for `environment`).

    Raises:
        SpecError: it is not valid; the error has all problems.
    """
    given = {key: value for key, value in short.items() if value is not None}
    if callable(spec):
        raise SpecError(
            [f"a command must be a text or a list of words, not {shorten(spec)}: for a function use call or map"]
        )
    if isinstance(spec, ApplicationSpec):
        spec = spec.model_dump(exclude_unset=True)  # fields that are not set stay unset
    elif not isinstance(spec, Mapping):
        if "env" in given:
            given["environment"] = given.pop("env")
        service = {key: given.pop(key) for key in list(given) if key not in ApplicationSpec.model_fields}
        return validate(ApplicationSpec, {"services": {"main": {"command": spec, **service}}, **given})
    return validate(ApplicationSpec, {**spec, **given})
