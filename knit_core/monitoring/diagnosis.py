"""Why an application waits, or why it ended, in one sentence with what to do. Pure: facts in, an explanation out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from knit_core.model.cluster_facts import Node
from knit_core.model.report import ApplicationReport
from knit_core.model.representation import html_facts, shown
from knit_core.model.result import Container, Result
from knit_core.model.service_status import ServiceStatus
from knit_core.model.states import ContainerState, Outcome, State
from knit_core.model.units import counted, show_memory, show_seconds
from knit_core.monitoring.refusals import refusal_of

_AMOUNT = r"<memory:(\d+), vCores:(\d+)[^>]*>"
_LIMIT = re.compile(rf"AM resource limit exceeded.*?Queue Resource Limit for AM = {_AMOUNT}", re.S)
_USAGE = re.compile(rf"Queue AM Resource Usage = {_AMOUNT}")
_MEMORY_KILL = re.compile(r"killed for memory: (\S+ ?[A-Z]+) used of (\S+ ?[A-Z]+) (asked|virtual)")
_MASTER_MEMORY = re.compile(r"Current usage: (\S+ ?[A-Z]+) of (\S+ ?[A-Z]+) physical memory used")
# What an ApplicationMaster, or its JVM, wrote last (Exits.ATTEMPT_ENDS in Java).
_MASTER_ENDS = re.compile(
    r"this attempt of the ApplicationMaster ends: ([^\n]+)|Terminating due to (java\.lang\.OutOfMemoryError[^\n]*)"
)
_ADVICE_BY_CODE = {
    126: "the command is there but cannot be executed: check its mode, or name its interpreter",
    127: "the command was not found: is it in the environment, or among the files?",
    134: "it aborted (SIGABRT): an assertion, or the allocator found its memory damaged",
    137: "it got SIGKILL, though not from Knit: often the node's kernel when its memory ran out",
    139: "it crashed (SIGSEGV): often a compiled library that does not fit the node",
    143: "it got SIGTERM, though not from Knit",
}


@shown
@dataclass(frozen=True)
class Pending:
    """Containers of one size that the ResourceManager has not given yet; MiB and cores."""

    memory: int
    vcores: int
    count: int
    label: str = ""

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> Pending:
        """From a `resourceRequests` entry of the ResourceManager's REST API."""
        size = row["capability"]
        label = row.get("nodeLabelExpression") or ""
        return cls(int(size["memory"]), int(size["vCores"]), int(row["numContainers"]), label)


@shown
@dataclass(frozen=True)
class Why:
    """An explanation.

    Attributes:
        text: one sentence: since when it does what, or how it ended.
        details: lines that show it.
        advice: what to do; empty when there is nothing to do.
    """

    text: str
    details: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return html_facts(self.text, {"details": "\n".join(self.details), "advice": "\n".join(self.advice)})

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"  {line}" for line in self.details), *(f"  → {line}" for line in self.advice)])


def _same(queue: str, other: str) -> bool:
    """Whether two names mean one queue: paths when both are, else their last parts."""
    if "." in queue and "." in other:
        return queue == other
    return queue.rpartition(".")[2] == other.rpartition(".")[2]


def why_no_master(report: ApplicationReport, now: int, nodes: Sequence[Node], queues: Iterable[str]) -> Why:
    """Why an application has no ApplicationMaster yet.

    Args:
        report: what the ResourceManager says.
        now: ms since the epoch.
        nodes: the running nodes.
        queues: paths of the queues that take applications.
    """
    since = f" since {show_seconds((now - report.started_at) / 1000)}" if report.started_at else ""
    head = f"{'Waiting for' if not report.attempt else 'Starting'} its ApplicationMaster{since}."
    words = report.diagnostics
    others = [queue for queue in queues if not _same(queue, report.queue)]
    elsewhere = f"use another queue ({', '.join(others)})" if others else "ask for more room in it"
    limit, usage = _LIMIT.search(words), _USAGE.search(words)
    if limit and usage:
        return Why(
            f'{head} Queue "{report.queue}" lets ApplicationMasters use {show_memory(int(limit[1]))} and '
            f"{show_memory(int(usage[1]))} are in use (yarn.scheduler.capacity.maximum-am-resource-percent).",
            advice=(
                f"end an application of the queue (knit list --queue {report.queue.rpartition('.')[2]}), {elsewhere}",
            ),
        )
    if not nodes:
        return Why(
            f"{head} The cluster has no running NodeManager.",
            advice=("look at the NodeManagers: yarn node -list -all",),
        )
    if "waiting for resources to be assigned" in words:
        most = max(nodes, key=lambda node: node.free_memory)
        return Why(
            f'{head} Queue "{report.queue}" or the cluster is full.',
            (f"the emptiest node, {most.host}, has {show_memory(most.free_memory)} left", " ".join(words.split())),
            (f"wait for room, or {elsewhere}",),
        )
    if report.state in {State.NEW, State.NEW_SAVING, State.SUBMITTED}:
        return Why(f"{head} YARN has it in state {report.state}.", (words,) if words else ())
    return Why(head, (" ".join(words.split()),) if words else ())


def why_running(
    report: ApplicationReport,
    services: Mapping[str, ServiceStatus],
    containers: Sequence[Container],
    pending: Sequence[Pending],
    nodes: Sequence[Node],
    now: int,
) -> Why:
    """What a running application waits for, if anything.

    Args:
        report: what the ResourceManager says.
        services, containers: what the ApplicationMaster says.
        pending: what the ResourceManager has not given yet.
        nodes: the running nodes.
        now: ms since the epoch.
    """
    details: list[str] = []
    advice: list[str] = []
    refused = [
        c
        for c in containers
        if c.state in {ContainerState.WAITING, ContainerState.REQUESTED} and "refuses" in c.diagnostics
    ]
    for words, count in Counter(c.diagnostics for c in refused).items():
        details.append(f"{counted(count, 'container')} cannot be had: {words}")
    if refused:
        advice.append("move it to a queue that gives such containers (knit move), or scale down (knit scale)")
    waiting = [c for c in containers if c.state is ContainerState.REQUESTED and c not in refused]
    if waiting:
        oldest = min(c.requested_at or now for c in waiting)
        details.append(
            f"{counted(len(waiting), 'container', 'is', 'are')} asked for, the first since {show_seconds((now - oldest) / 1000)}"
        )
        for size in _by_size(pending):
            details += _room_for(size, nodes)
        advice.append("wait for room, ask for smaller containers (memory=), or scale down (knit scale)")
    held = sum(c.state is ContainerState.HELD for c in containers)
    if held:
        details.append(f"{counted(held, 'container', 'is', 'are')} held until their whole gang is there")
    for service in services.values():
        if service.state == "WAITING":
            details.append(f"service {service.name} waits for the services that it depends on")
        elif service.running > service.ready:
            details.append(
                f"service {service.name}: {counted(service.running - service.ready, 'instance', 'runs', 'run')}, not ready yet"
            )
    restarting = [c for c in containers if c.state is ContainerState.WAITING and c.attempt > 1 and c not in refused]
    if restarting:
        details.append(
            f"{counted(len(restarting), 'instance', 'waits', 'wait')} for a restart: {_last_failure(restarting[0], containers)}"
        )
    if not details:
        running = sum(c.state is ContainerState.RUNNING for c in containers)
        return Why(f"It runs, {report.progress:.0%}: {counted(running, 'container')}, and nothing is waited for.")
    return Why(f"It runs, {report.progress:.0%}, and waits:", tuple(details), tuple(advice))


def _by_size(pending: Iterable[Pending]) -> list[Pending]:
    """One for each size: the ResourceManager has a row for each request, several of which may be of one size."""
    counts: Counter[Pending] = Counter()
    for each in pending:
        counts[replace(each, count=0)] += max(0, each.count)
    return [replace(size, count=count) for size, count in counts.items() if count]


def _room_for(size: Pending, nodes: Sequence[Node]) -> list[str]:
    wanted = f"{show_memory(size.memory)}, {size.vcores} vcores" + (f", label {size.label}" if size.label else "")
    fitting = [node for node in nodes if node.free_memory >= size.memory and node.free_vcores >= size.vcores]
    if fitting:
        where = f"{len(fitting)} of {counted(len(nodes), 'node')}"
        return [f"{size.count} of {wanted}: there is room on {where}, the queue's limit holds it back"]
    able = [node for node in nodes if node.memory >= size.memory]
    if not able:
        return [f"{size.count} of {wanted}: no node is that large"]
    most = max(nodes, key=lambda node: node.free_memory)
    return [f"{size.count} of {wanted}: no node has that left (most: {show_memory(most.free_memory)} on {most.host})"]


def _last_failure(waiting: Container, containers: Sequence[Container]) -> str:
    earlier = [c for c in containers if c.id == waiting.id and c.attempt == waiting.attempt - 1 and c.state.ended]
    return f"{waiting.id} {earlier[0].diagnostics}" if earlier else waiting.id


def why_ended(result: Result, report: ApplicationReport | None) -> Why:
    """How an application ended, and what to change.

    Args:
        result: what is known of its end.
        report: what the ResourceManager says; None when it has forgotten it.
    """
    if result.outcome is Outcome.SUCCEEDED:
        span = ""
        if result.started_at and result.finished_at:
            span = f" after {show_seconds((result.finished_at - result.started_at) / 1000)}"
        return Why(f"Succeeded{span}.")
    if result.outcome is Outcome.LOST:
        return Why(f"Lost: {result.diagnostics}", advice=("launch it again",))
    if result.outcome is Outcome.KILLED:
        return Why(f"Killed: {result.diagnostics or 'nobody said why'}")
    failed = result.first_failure
    if failed is None:
        words = (report.diagnostics if report else "") or result.diagnostics
        ends = list(_MASTER_ENDS.finditer(words))
        if ends:
            reason = ends[-1][1] or ends[-1][2]
            return Why(f"Failed: its ApplicationMaster ended: {reason}", advice=_master_advice(result, words))
        words = result.diagnostics or words
        if refusal := refusal_of(words):
            return Why(
                f"Failed: YARN refused it, as {refusal.text}.", (" ".join(words.split())[:600],), (refusal.advice,)
            )
        return Why(f"Failed: {' '.join(words.split())[:600]}", advice=_master_advice(result, words))
    ran = ""
    if failed.started_at and failed.finished_at and " after " not in failed.diagnostics:
        ran = f", after {show_seconds((failed.finished_at - failed.started_at) / 1000)}"
    head = f"Failed: {failed.id} ({failed.host}) {failed.diagnostics or f'exited with {failed.exit_code}'}{ran}."
    if not result.diagnostics.startswith(failed.id):
        head = f"Failed: {result.diagnostics}"
    lines = ("last lines of its stderr:", *(f"| {line}" for line in failed.stderr[-10:])) if failed.stderr else ()
    return Why(head, lines, _advice(failed))


def _advice(failed: Container) -> tuple[str, ...]:
    killed = _MEMORY_KILL.search(failed.diagnostics)
    if killed and killed[3] == "virtual":
        return (
            "its virtual memory counts on this cluster: ask for more (memory=; YARN allows a multiple of that), or have "
            "yarn.nodemanager.vmem-check-enabled turned off",
        )
    if killed:  # it had that much when YARN looked, and was still growing
        return (f'memory="{_half_more(killed[1])}" or more',)
    text = "\n".join(failed.stderr)
    missing = re.search(r"ModuleNotFoundError: No module named '([^']+)'", text)
    if missing:
        return (f"the environment lacks {missing[1]!r}: add it to the packages, or send the file along (files=)",)
    if "MemoryError" in text or "Cannot allocate memory" in text:
        return ("it ran out of memory: ask for more (memory=)",)
    advice = _ADVICE_BY_CODE.get(failed.exit_code or 0)
    return (advice,) if advice else ()


def _half_more(amount: str) -> str:
    """Half as much again as an amount of YARN's ("1 GB" is a GiB there)."""
    found = re.fullmatch(r"([0-9.]+) ?([KMGT])B?", amount.strip())
    if not found:
        return amount
    mib = float(found[1]) * {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}[found[2]]
    return show_memory(mib * 1.5)


def _master_advice(result: Result, words: str) -> tuple[str, ...]:
    killed = _MASTER_MEMORY.search(words)
    if killed:
        return (f'its ApplicationMaster was killed for memory: master_memory="{_half_more(killed[1])}" or more',)
    if "OutOfMemoryError" in words:
        return ("give its ApplicationMaster more memory (master_memory=)",)
    if "AM Container" in words:
        return (f"its ApplicationMaster could not run: knit logs {result.id} shows what it wrote",)
    return ()
