"""What an Airflow tells about itself, caught: a StatsD socket and an OTLP collector on loopback ports."""

from __future__ import annotations

import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tools.airflow_client import wait_for

if TYPE_CHECKING:
    from tools.airflow_processes import AirflowProcesses


class Span(NamedTuple):
    """A span as it arrived; times in ns since the epoch, ids in hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    began: int
    ended: int
    attributes: dict[str, Any]
    events: list[str]
    failed: bool


class Observers:
    """Both servers; each in a thread of its own.

    Attributes:
        lines: StatsD's lines so far, `knit.ended,queue=default,outcome=SUCCEEDED:1|c`.
        spans: of all processes so far.
        variables: for an Airflow that is to tell.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.spans: list[Span] = []
        self._statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._statsd.bind(("127.0.0.1", 0))
        observers = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                observers.spans.extend(_spans(body, self.headers.get("Content-Encoding", "")))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._threads = [
            threading.Thread(target=self._listen, daemon=True),
            threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self.variables = {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._statsd.getsockname()[1]),
            "AIRFLOW__METRICS__STATSD_PREFIX": "bed",
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
            "AIRFLOW__TRACES__OTEL_ON": "True",
            "OTEL_TRACES_EXPORTER": "otlp_proto_http",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "5",
        }

    def metric(self, name: str, **tags: str) -> list[float]:
        """The values of a metric that have arrived with at least these tags."""
        found = []
        for line in list(self.lines):
            match = re.fullmatch(r"bed\.([\w.]+)((?:,[^:]*)?):([-+\d.e]+)\|\w+(?:\|@[\d.]+)?", line)
            if match is None or match[1] != name:
                continue
            seen = dict(each.partition("=")[::2] for each in match[2].split(",") if each)
            if tags.items() <= seen.items():
                found.append(float(match[3]))
        return found

    def of(self, application: str) -> dict[str, Span]:
        """Knit's spans of an application, by name."""
        return {
            each.name: each for each in list(self.spans) if each.attributes.get("knit.application_id") == application
        }

    def close(self) -> None:
        """End both."""
        self._server.shutdown()
        self._server.server_close()
        port = self._statsd.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", port))
        for thread in self._threads:
            thread.join(5)
        self._statsd.close()

    def _listen(self) -> None:
        while data := self._statsd.recv(65536):
            self.lines.extend(data.decode().splitlines())


def ask(airflow: AirflowProcesses, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What Airflow's database says; for what its API does not tell."""
    with closing(sqlite3.connect(airflow.database, timeout=30)) as database:
        return database.execute(query, values).fetchall()


def pause(airflow: AirflowProcesses, dag_id: str, paused: bool = True) -> None:
    """Pause or unpause a DAG; tried again when SQLite was locked for too long."""

    def changed() -> bool:
        reply = airflow.client.call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused}, ok=(200, 500))
        return bool(reply.get("is_paused") is paused)

    wait_for(f"{dag_id}: paused={paused}", changed, 120, poll=1)
    for file in airflow.dags.rglob("watchers.py"):
        file.touch()  # watchers of a DAG that is unpaused begin when its file is parsed again


def _spans(body: bytes, encoding: str) -> Iterator[Span]:
    import gzip

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(gzip.decompress(body) if encoding == "gzip" else body)
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for each in scope.spans:
                attributes = {
                    pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
                    for pair in each.attributes
                }
                yield Span(
                    each.name,
                    each.trace_id.hex(),
                    each.span_id.hex(),
                    each.parent_span_id.hex(),
                    each.start_time_unix_nano,
                    each.end_time_unix_nano,
                    attributes,
                    [event.name for event in each.events],
                    each.status.code == 2,
                )


@pytest.fixture(scope="session")
def observers() -> Iterator[Observers]:
    """Where the session's Airflow sends its metrics and spans."""
    found = Observers()
    yield found
    found.close()
