"""Whole logs, byte for byte: one log after another, each as an iterator of pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from knit_core.errors import ConnectionFailed, MissingLog, NotFound
from knit_core.logs.aggregated.read_aggregated import EndedLogs, unavailable
from knit_core.logs.application import LoggedApplication
from knit_core.logs.lines import LogCursor, LogLine, blocks
from knit_core.logs.live.follow_application import RunningUploads, master_row
from knit_core.logs.live.follow_container import ContainerReader
from knit_core.logs.live.gateway_logs import node_logs
from knit_core.logs.live.routes import LogSource
from knit_core.logs.reader import OFF, LogReader
from knit_core.logs.selection import Selection
from knit_core.logs.streams import without
from knit_core.model.representation import shown
from knit_core.model.result import Container


@shown
@dataclass
class LogFile:
    """One log of one container. Iterate it once for its bytes in pieces, before taking the next log.

    Attributes:
        container: Knit's name (`main_0`), `master`, or YARN's id if the name is not known.
        attempt: of the instance, from 1.
        yarn: YARN's id of the container.
        node: host name.
        stream: "stdout", "stderr", or another file's name.
        size: bytes.
        name: a unique file name: `main_0.stdout`, for later attempts `main_0.attempt2.stdout`.
    """

    container: str
    attempt: int
    yarn: str
    node: str
    stream: str
    size: int
    name: str
    _pieces: Iterator[bytes] = field(repr=False)
    _row: Container = field(repr=False)

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def lines(self, cursor: LogCursor) -> Iterator[LogLine]:
        """Its lines after a cursor, instead of its bytes. The cursor moves with each line."""
        start = cursor.at(self.yarn, self.stream)
        if start >= self.size:
            return
        for block in blocks(self._row, self.stream, start, without(self._pieces, start), True):
            yield from block.lines(cursor)

    def save(self, folder: Path) -> Path:
        """Write it into a folder, under its name; returns the path."""
        path = folder / self.name
        with path.open("wb") as file:
            for piece in self:
                file.write(piece)
        return path


def log_files(application: LoggedApplication, selection: Selection, timeout: float) -> Iterator[LogFile]:
    """See `Application.log_files`."""
    names: set[str] = set()
    for row, stream, size, pieces in _logs(application, selection, timeout):
        name = f"{row.id}{f'.attempt{row.attempt}' if row.attempt > 1 else ''}.{stream}".replace("/", "_")
        if name in names:  # of an earlier ApplicationMaster, which used the same names
            name = f"{row.id}.{row.yarn}.{stream}".replace("/", "_")
        names.add(name)
        yield LogFile(row.id, row.attempt, row.yarn, row.host, stream, size, name, pieces, row)


_Log = tuple[Container, str, int, Iterator[bytes]]


def _logs(application: LoggedApplication, selection: Selection, timeout: float) -> Iterator[_Log]:
    reader = LogReader(application, selection, timeout=timeout)
    report = reader.report()
    if report is None or report.ended:
        logs, expected = reader.ended(report)
        if logs.enabled:
            for row, found in EndedLogs(application, logs, expected, timeout).found():
                yield row, found.stream, found.size, found.open(0)
            return
        rows, uploads = list(expected.rows.values()), None
    else:
        rows = [row for row in application.containers() if row.yarn and row.node_http]
        master = master_row(report) if selection.master else None
        rows += [master] if master else []
        selection.check(rows)
        rows = [row for row in rows if selection.wants(row)]
        uploads = RunningUploads(reader.aggregated(report), application.cluster.clock)
    yield from _on_nodes(application, reader, rows, uploads, selection)


def _on_nodes(
    application: LoggedApplication,
    reader: LogReader,
    rows: list[Container],
    uploads: RunningUploads | None,
    selection: Selection,
) -> Iterator[_Log]:
    missing = []
    for row in rows:
        node: LogSource = node_logs(application.cluster.nodes, row.node_http, reader.scheme)
        node = reader.routes.to(row.node_http, node) if uploads is not None else node
        seen = 0
        try:
            one = ContainerReader(
                row, node, uploads or reader.no_uploads, selection.streams, lambda _: 0, lambda _: True
            )
            for stream, size, pieces in one.files():
                seen += 1
                yield row, stream, size, pieces
        except (ConnectionFailed, NotFound) as error:
            missing.append(MissingLog(row.id, row.yarn, row.host, str(error)))
            seen = 1
        finally:
            node.close()
        if not seen and uploads is None:
            missing.append(MissingLog(row.id, row.yarn, row.host, "its node has deleted them"))
    if missing:
        texts = ("could not be read", "The application runs, and its logs are on the nodes only: try again later")
        raise unavailable(
            application.id,
            tuple(missing),
            (),
            total=len(rows),
            reason="unreachable" if uploads else "off",
            texts=texts if uploads else OFF,
        )


__all__ = ["LogFile", "log_files"]
