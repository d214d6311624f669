"""`python -m knit_container`: the calls for programs that are not Python. Values are JSON; anything else is a text."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import knit_container as knit
from knit_container.hdfs import HdfsFault
from knit_container.tokens import container_tokens, keep


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Exit code 0; 1: no such key, time-out or refusal; 2: wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        output = _refresh(options.keep) if options.command == "tokens" else _run(options)
    except (KeyError, TimeoutError, knit.Conflict, knit.RefusedByMaster, knit.NotInContainer, HdfsFault) as error:
        print(f"knit: {error}", file=sys.stderr)
        return 1
    if output is not None:
        print(output if isinstance(output, str) else json.dumps(output))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m knit_container", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ready", help="report that this container is ready")
    commands.add_parser("environment", help="print this container's Python environment and its packages")
    progress = commands.add_parser("progress", help="report this container's progress")
    progress.add_argument("fraction", type=float)
    progress.add_argument("metrics", nargs="*", metavar="NAME=NUMBER")
    commands.add_parser("result", help="return a value from this container").add_argument("value", type=_value)
    barrier = commands.add_parser("barrier", help="wait for all instances of the service")
    barrier.add_argument("name")
    barrier.add_argument("--parties", type=int)
    barrier.add_argument("--timeout", type=float)
    commands.add_parser("get", help="print a key's value").add_argument("key")
    put = commands.add_parser("put", help="set a key")
    put.add_argument("key")
    put.add_argument("value", type=_value)
    put.add_argument("--expect", type=int, metavar="REVISION")
    commands.add_parser("delete", help="delete a key").add_argument("key")
    wait = commands.add_parser("wait", help="wait until a key exists, and print its value")
    wait.add_argument("key")
    wait.add_argument("--timeout", type=float)
    page = commands.add_parser("page", help="show a web page of this container below the application's page")
    page.add_argument("name")
    page.add_argument("port", type=int)
    page.add_argument("--path", default="/")
    tokens = commands.add_parser(
        "tokens", help="put newer delegation tokens into $HADOOP_TOKEN_FILE_LOCATION, and list the tokens there"
    )
    tokens.add_argument("--keep", action="store_true", help="go on with it, without end")
    scale = commands.add_parser("scale", help="change the number of a service's instances")
    scale.add_argument("service")
    scale.add_argument("instances", type=int)
    return parser


def _run(options: argparse.Namespace) -> Any:
    command = options.command
    if command == "ready":
        knit.ready()
    elif command == "progress":
        pairs = [pair.partition("=") for pair in options.metrics]
        knit.progress(options.fraction, **{name: float(number) for name, _, number in pairs})
    elif command == "result":
        knit.result(options.value)
    elif command == "barrier":
        knit.barrier(options.name, options.parties, options.timeout)
    elif command == "environment":
        return knit.environment()
    elif command == "get":
        return knit.kv[options.key]
    elif command == "put":
        knit.kv.put(options.key, options.value, expect=options.expect)
    elif command == "delete":
        del knit.kv[options.key]
    elif command == "wait":
        return knit.kv.wait(options.key, options.timeout)
    elif command == "page":
        knit.page(options.name, options.port, options.path)
    elif command == "scale":
        return knit.scale(options.service, options.instances)
    return None


def _refresh(without_end: bool) -> str:
    """Refresh the tokens; kind, service and times of each, one a line."""
    knit.refresh_tokens()
    if without_end:
        keep()
    rows = []
    for token in container_tokens().values():
        times = [
            f"{name} {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at / 1000))}"
            for name, at in (("issued", token.issued), ("ends", token.ends))
            if at
        ]
        rows.append("  ".join([token.kind, token.service or "-", *times]))
    return "\n".join(rows) or "this container has no delegation tokens"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())
