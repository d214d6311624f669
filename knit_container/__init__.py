"""The module that programs import in Knit's containers. Standard library only; shipped with every launch.

    import knit_container as knit

    print(f"I am {knit.instance} of {knit.instances}")
    knit.progress(0.4, loss=0.1)
    knit.kv["scheduler"] = "tcp://node07:8786"
    knit.barrier("all workers have started", timeout=60)
    knit.result({"rows": 1000})

Outside a container (on a laptop, in a unit test) `inside` is False and the rank is 0 of 1. `progress`, `result`, `ready`,
`barrier` and `page` do nothing; calls that need an answer of the ApplicationMaster raise `NotInContainer`. Shell programs use
`python -m knit_container`.
"""

from knit_container.application_master import NotInContainer, RefusedByMaster
from knit_container.context import (
    app_id,
    application,
    attempt,
    barrier,
    containers,
    environment,
    events,
    inside,
    instance,
    instances,
    kill_container,
    kv,
    move,
    page,
    progress,
    ready,
    result,
    scale,
    service,
    set_priority,
    shutdown,
)
from knit_container.sigterm import leaving
from knit_container.store import Change, Conflict, Entry
from knit_container.tokens import keep_tokens, refresh_tokens

__all__ = [
    "Change",
    "Conflict",
    "Entry",
    "NotInContainer",
    "RefusedByMaster",
    "app_id",
    "application",
    "attempt",
    "barrier",
    "containers",
    "environment",
    "events",
    "inside",
    "instance",
    "instances",
    "keep_tokens",
    "kill_container",
    "kv",
    "leaving",
    "move",
    "page",
    "progress",
    "ready",
    "refresh_tokens",
    "result",
    "scale",
    "service",
    "set_priority",
    "shutdown",
]
