"""Reading: what an application's containers wrote, and small notes that lie beside it on HDFS."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from knit_core.model.units import seconds

if TYPE_CHECKING:
    from knit_core.application import Application
    from knit_core.client import Knit
    from knit_core.logs import LogCursor, LogFile, LogLine, LogWatch


class Reading:
    """The part of `Application` that reads logs."""

    id: str
    knit: Knit

    if TYPE_CHECKING:

        @property
        def folder(self) -> str:
            """Its folder on HDFS."""

    def logs(
        self,
        follow: bool = False,
        *,
        services: Iterable[str] | None = None,
        containers: Iterable[str] | None = None,
        streams: Iterable[str] | None = None,
        tail: int | None = None,
        cursor: LogCursor | None = None,
        timeout: float | str = 60.0,
    ) -> Iterator[LogLine]:
        """Lines of all containers' stdout and stderr, each labelled with its container.

        Args:
            follow: go on until the application ends; otherwise what is there now.
            services: only of these.
            containers: only of these: `main_0` (all attempts of it), YARN's ids, `master` for the ApplicationMaster.
            streams: names of log files; stdout and stderr by default.
            tail: only the last so many lines of each stream, of what is there at the beginning.
            cursor: where to go on; it is moved as lines are handed out.
            timeout: seconds to wait for the aggregated logs after the end.

        Raises:
            LogsUnavailable: something is missing or cannot be read (`reason`, `missing`, `files`); what can be had was
                handed out before.
            ValueError: a negative `tail`, or a text where a list belongs.
        """
        from knit_core.logs import LogReader, Selection

        selection = Selection.of(services, containers, streams, tail)
        return LogReader(cast("Application", self), selection, cursor, seconds(timeout)).lines(follow)

    def log_files(
        self,
        *,
        services: Iterable[str] | None = None,
        containers: Iterable[str] | None = None,
        streams: Iterable[str] | None = None,
        timeout: float | str = 60.0,
    ) -> Iterator[LogFile]:
        """Whole logs, byte for byte, as they are now: one for each container and stream.

            for file in app.log_files():
                print(file.container, file.stream, file.size, sum(map(len, file)))

        Args:
            services, containers, streams, timeout: as for `logs`.

        Raises:
            LogsUnavailable: as for `logs`.
        """
        from knit_core.logs import Selection, log_files

        return log_files(cast("Application", self), Selection.of(services, containers, streams), seconds(timeout))

    def watch_logs(self, cursor: LogCursor | None = None) -> LogWatch:
        """For looking at its logs again and again while it runs, a bounded amount each time, in the caller's thread.

            watch = app.watch_logs()
            for line in watch.look():
                print(line)

        Args:
            cursor: where to begin; it is moved as lines are handed out.
        """
        from knit_core.logs import LogWatch

        return LogWatch(cast("Application", self), cursor)

    # -- notes -------------------------------------------------------------

    def note(self, name: str, value: Any) -> None:
        """Leave a note in its folder on HDFS, over an earlier one; `noted` gives the one or the other, never half of it.

        Behind HttpFS, a writer that is killed in the very moment of replacing leaves no note: `noted` gives None then.

        Args:
            name: of the note, a file name.
            value: anything that JSON takes.
        """
        self.knit.hdfs.replace(f"{self.folder}/{name}.json", json.dumps(value).encode())

    def noted(self, name: str) -> Any:
        """The note of this name; None when there is none, or none that can be understood."""
        raw = self.knit.hdfs.read_replaced(f"{self.folder}/{name}.json")
        try:
            return None if raw is None else json.loads(raw)
        except ValueError:
            return None
