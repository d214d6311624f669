"""Finds and reads aggregated logs on HDFS in either format, whole or in the parts of rolling aggregation."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from knit_core.config import Config
from knit_core.errors import KnitError, LogsUnavailable
from knit_core.hadoop.webhdfs import WebHdfs
from knit_core.logs.aggregated import ifile, tfile
from knit_core.logs.aggregated.folders import Listing, NodeFile, folders, listing
from knit_core.logs.aggregated.rolled_parts import Mark, Part, Uploaded
from knit_core.logs.streams import Fetch, Ranges, damage, without
from knit_core.model.clock import Clock

_TRIES = 5
_FIRST_PAUSE = 0.2  # seconds
_MOST_PROBLEMS = 100


class Unfinished(Exception):
    """A file is being written, or was never finished; the text is its path."""


class Found(NamedTuple):
    """One log, combined from its parts.

    Attributes:
        container, stream: YARN's id, and the log's name.
        host: of the node.
        size: bytes.
        open: returns the bytes from an offset on; read them before taking the next log.
        uploads: number of its uploads.
    """

    container: str
    stream: str
    host: str
    size: int
    open: Callable[[int], Iterator[bytes]]
    uploads: int = 1


LogFilter = Callable[[str, str], bool]  # YARN's container id, stream ("" for any)


class AggregatedLogs:
    """The aggregated logs of one application.

    Attributes:
        problems: (path, problem) of files that could not be read completely.
        packed: whether one of them has an unsupported compression.
    """

    def __init__(self, hdfs: WebHdfs, config: Config, app_id: str, user: str, clock: Clock = time) -> None:
        self._hdfs, self._config, self._app, self._user, self._clock = hdfs, config, app_id, user, clock
        self._parts: dict[str, tuple[int, list[Part]]] = {}  # by path, with the size that the file had
        self._logs: dict[tuple[str, str], Uploaded] = {}
        self._lock = threading.Lock()
        self.problems: list[tuple[str, str]] = []
        self.packed = False

    @property
    def enabled(self) -> bool:
        """Whether the cluster aggregates logs; True if the setting is not known."""
        return self._config.cluster_property("yarn.log-aggregation-enable", "unknown") != "false"

    @property
    def rolling(self) -> bool:
        """Whether the cluster's nodes may upload logs of running containers."""
        key = "yarn.nodemanager.log-aggregation.roll-monitoring-interval-seconds"
        value = self._config.cluster_property(key, "-1")
        return value.isdigit() and int(value) > 0

    def folders(self) -> list[str]:
        """Folders that may contain the logs, the most likely first."""
        return folders(self._config.cluster_property, self._config.on_hdfs, self._app, self._user)

    def list_files(self) -> Listing:
        """The files that exist now.

        Raises:
            LogsUnavailable: the logs are not on HDFS, or in an archive.
            KnitError: HDFS did not answer.
        """
        return listing(self._app, (entry for folder in self.folders() for entry in self._hdfs.list(folder)))

    def read(self, there: Listing, node: str, wanted: LogFilter) -> Iterator[Found]:
        """The logs of one node, in bounded memory. Read errors are added to `problems`.

        Raises:
            Unfinished: a file of the node is being written; no log was returned.
        """
        files = there.files[node]
        ranges = {file.path: Ranges(file.size, self._fetch(file.path)) for file in files}
        if len(files) == 1 and self._is_tfile(files[0], ranges[files[0].path]):
            yield from self._sequential(files[0], ranges[files[0].path], wanted)
            return
        parts = [
            part
            for file in files
            for part in self._parts_of(file, ranges[file.path], there.checksums.get(node))
            if wanted(part.container, part.stream)
        ]
        fetches = {path: each.pieces for path, each in ranges.items()}
        several = Counter((part.container, part.stream) for part in parts)
        logs = {}
        for part in parts:  # in the order of their offsets, so that one request reads them all
            key = (part.container, part.stream)
            logs[key] = self._add_part(part, lambda which: self._opened(which, fetches), several[key] > 1)
        for log in logs.values():
            yield self._found(log, files[0].host, fetches)

    def of_log(self, there: Listing, node: str, container: str, stream: str) -> Found | None:
        """The uploaded part of a running container's log; None if there is none.

        Raises:
            Unfinished: a file is being written.
            KnitError: a file cannot be read.
        """
        log, count = None, 0
        for file in there.files.get(node, ()):
            ranges = Ranges(file.size, self._fetch(file.path))
            for part in self._parts_of(file, ranges, there.checksums.get(node), strict=True):
                if (part.container, part.stream) == (container, stream):
                    log, count = self._add_part(part, self._opened), count + 1
        return None if log is None else self._found(log, "", {})._replace(uploads=count)

    def last_part(self, container: str, stream: str) -> Mark | None:
        """The log's part in the latest upload that `of_log` has read."""
        log = self._logs.get((container, stream))
        if log is None:
            return None
        if log.mark is None:
            log.mark = Mark.of(log.kept[-1].open(self._fetch(log.kept[-1].path), 0))
        return log.mark

    def problem(self, path: str, error: Exception) -> None:
        """Add a file to `problems`."""
        self.packed = self.packed or getattr(error, "reason", "") == "compression"
        found = (path, str(error))
        with self._lock:
            if found not in self.problems and len(self.problems) < _MOST_PROBLEMS:
                self.problems.append(found)

    # -- internal ----------------------------------------------------------

    def _add_part(self, part: Part, content: Callable[[Part], Iterator[bytes]], marked: bool = False) -> Uploaded:
        """Add the part to its log, and return the log; `marked` if its bytes will be compared with other parts."""
        log = self._logs.setdefault((part.container, part.stream), Uploaded())
        if not log.knows(part):
            log.add(part, content)
            if marked and log.mark is None:
                log.mark = Mark.of(content(part))
        return log

    def _found(self, log: Uploaded, host: str, fetches: Mapping[str, Fetch]) -> Found:
        parts = list(log.kept)

        def pieces(start: int) -> Iterator[bytes]:
            for part in parts:
                if start < part.size:
                    yield from self._opened(part, fetches, start)
                start = max(0, start - part.size)

        return Found(parts[0].container, parts[0].stream, host, sum(part.size for part in parts), pieces)

    def _opened(self, part: Part, fetches: Mapping[str, Fetch] | None = None, skip: int = 0) -> Iterator[bytes]:
        fetch = (fetches or {}).get(part.path) or self._fetch(part.path)
        return self._guarded(part, part.open(fetch, skip), skip)

    def _guarded(self, part: Part, pieces: Iterator[bytes], seen: int = 0) -> Iterator[bytes]:
        """A part's bytes; errors are added to `problems`."""
        try:
            for piece in pieces:
                seen += len(piece)
                yield piece
        except KnitError as error:
            self.problem(part.path, _about(part, error))
            return
        if seen < part.size:
            self.problem(part.path, _about(part, f"the node could copy only {seen} of {part.size} bytes"))

    def _sequential(self, file: NodeFile, ranges: Ranges, wanted: LogFilter) -> Iterator[Found]:
        """The logs of a TFile, read from its beginning to its end."""
        try:
            for key, value in tfile.entries(file.size, ranges.pieces, lambda key: _is_wanted(wanted, key)):
                if not _is_wanted(wanted, key):
                    continue
                try:
                    for name, size, content in tfile.container_files(value):
                        if wanted(key, name):
                            part = Part(key, name, size, _skipping(content), file.path, 0)
                            yield self._found(Uploaded([part]), file.host, {file.path: ranges.pieces})
                except LogsUnavailable as error:  # later records can be read
                    self.problem(file.path, LogsUnavailable(f"{key}: {error}", reason=error.reason))
        except KnitError as error:
            self.problem(file.path, error)
        finally:
            ranges.close()

    def _parts_of(self, file: NodeFile, ranges: Ranges, checksum: str | None, strict: bool = False) -> list[Part]:
        """The parts in a file, from its index or by reading it. Cached by size, as files only grow.

        Errors are raised (`strict`) or added to `problems`; then the readable parts are returned.
        """
        size, found = self._parts.get(file.path, (-1, []))
        if size == file.size:
            return found
        found = []
        try:
            with damage():
                end = ranges.end()
            if tfile.is_tfile(end):
                self._scan_tfile(file, ranges, found)
            else:
                found += self._indexed(file, ranges, checksum, bool(ifile.mark_length(self._app, end)))
        except KnitError as error:
            if strict:
                raise
            self.problem(file.path, error)
        else:
            self._parts[file.path] = (file.size, found)
        return found

    def _is_tfile(self, file: NodeFile, ranges: Ranges) -> bool:
        try:
            with damage():
                return tfile.is_tfile(ranges.end())
        except KnitError as error:
            self.problem(file.path, error)
            return False

    def _scan_tfile(self, file: NodeFile, ranges: Ranges, found: list[Part]) -> None:
        """Append the parts of a TFile to `found`; their bytes are compared with earlier parts in the same pass."""
        for key, value, block in tfile.records(file.size, ranges.pieces):
            if not key.startswith("container_"):
                continue
            for place, (name, size, content) in enumerate(tfile.container_files(value)):
                part = Part(key, name, size, _in_tfile(block, key, place), file.path, len(found))
                found.append(part)
                self._add_part(part, partial(self._one_of, {part: self._guarded(part, content)}), True)

    def _one_of(self, at_hand: Mapping[Part, Iterator[bytes]], part: Part) -> Iterator[bytes]:
        return at_hand[part] if part in at_hand else self._opened(part)

    def _indexed(self, file: NodeFile, ranges: Ranges, checksum: str | None, whole: bool) -> list[Part]:
        size = file.size if whole else self._valid_length(file, checksum)
        index = ifile.read_index(self._app, size, ranges.pieces)
        return [
            Part(entry.container, entry.name, entry.size, _in_ifile(entry, index.algorithm), file.path, number)
            for number, entry in enumerate(index.entries)
        ]

    def _valid_length(self, file: NodeFile, checksum: str | None) -> int:
        """The valid length of a file before its current upload.

        Raises:
            Unfinished: it is the first upload, or there is no checksum file.
        """
        raw = self._hdfs.read(checksum) if checksum else None
        name, length = ifile.checked_length(raw) if raw else ("", 0)
        if not length or name not in {"", file.path.rpartition("/")[2]}:
            raise Unfinished(file.path)
        return length

    def _fetch(self, path: str) -> Fetch:
        def fetch(offset: int, length: int) -> Iterator[bytes]:
            at, end, tries = offset, offset + length, 0
            while at < end:
                try:
                    for piece in self._hdfs.stream(path, offset=at, length=end - at):
                        at, tries = at + len(piece), 0
                        yield piece
                    return
                except KnitError as error:
                    tries += 1
                    if not error.transient or tries == _TRIES:
                        raise
                    self._clock.sleep(_FIRST_PAUSE * 2**tries)

        return fetch


def _is_wanted(wanted: LogFilter, key: str) -> bool:
    return key.startswith("container_") and wanted(key, "")


def _in_tfile(block: tfile.Block, key: str, place: int) -> Callable[[Fetch, int], Iterator[bytes]]:
    def pieces(fetch: Fetch, skip: int) -> Iterator[bytes]:
        for found, value in tfile.in_block(block, fetch):
            for number, (_name, _size, content) in enumerate(tfile.container_files(value) if found == key else ()):
                if number == place:
                    yield from without(content, skip)
                    return

    return pieces


def _in_ifile(entry: ifile.Entry, algorithm: str) -> Callable[[Fetch, int], Iterator[bytes]]:
    return lambda fetch, skip: ifile.content(entry, algorithm, fetch, skip)


def _skipping(content: Iterator[bytes]) -> Callable[[Fetch, int], Iterator[bytes]]:
    return lambda _fetch, skip: without(content, skip)


def _about(part: Part, problem: object) -> LogsUnavailable:
    reason = getattr(problem, "reason", "damaged")
    return LogsUnavailable(f"{part.stream} of {part.container}: {problem}", reason=reason)
