"""Container logs of one operator: `worker` and `triggerer` write them in turn; this module passes the position between them."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from knit_airflow.logs.masking import Masker, seal
from knit_airflow.logs.triggerer import TASKS
from knit_airflow.logs.worker import NOTE, LogPosition, LogWriter, read_note
from knit_airflow.version_compat import (
    log_limit,
    masked_values,
    setting,
    trigger_log_is_kept,
    triggerer_before_is_read,
)

if TYPE_CHECKING:
    from knit_core import Application


class TaskLogs:
    """The logs of one task's application, for one process of the task.

    Parameters:
        application: the task's application.
        ti: the task instance.
        log: the task's log.
        limit: the operator's `log_limit`; None: `[knit] log_limit`.
        page: address of the complete logs.
    """

    def __init__(self, application: Application, ti: Any, log: Any, limit: int | str | None, page: str) -> None:
        from knit_core.model.units import size

        self._application, self._ti, self._log = application, ti, log
        self._limit = size(log_limit() if limit is None else limit)
        self._rest = " or ".join([*([page] if page else []), f"knit logs {application.id}"])
        self._by = secrets.token_hex(8)
        self._position: LogPosition | None = None
        self._writer: LogWriter | None = None
        self._last_error = ""

    def resume(self, handed: Mapping[str, Any] | None) -> None:
        """Continue after the last line that the trigger has written.

        Parameters:
            handed: from the trigger's event: its position (`offsets`); or `noted`: the position is in the note on HDFS; or, when
                it has written nothing, its first position (`begun`). A note beyond `begun` is of an earlier triggerer.
        """
        if handed is None:
            return
        found = LogPosition.from_json(handed) if "offsets" in handed else self._read_note(str(handed.get("by", "")))
        kept = trigger_log_is_kept(self._ti)
        if "begun" in handed and found.cursor.dump() != handed["begun"]:
            kept = triggerer_before_is_read(self._ti, since=0.0)
        if found.cursor.offsets and not kept:
            self._log.info("The triggerer's log stays on its machine: container logs are written here again")
            found = LogPosition.nothing()
        self._position = found

    def begin_anew(self) -> None:
        """Start from the first line: in a second deferral of a try, Airflow overwrites the log of the first trigger."""
        self._position = LogPosition.nothing()

    def write_new(self, seconds: float = 5.0) -> None:
        """Write the new lines; an error is logged as a warning."""
        from knit_core.errors import KnitError

        try:
            self._open().write_new(seconds)
        except KnitError as error:
            self._warn(error)

    def finish(self) -> None:
        """Write the rest after the application's end."""
        from knit_core.errors import KnitError

        try:
            self._open().finish()
        except KnitError as error:
            self._warn(error)

    def store_position(self) -> None:
        """Store the position for the next try: this try ends while the application runs."""
        if self._writer is not None:
            self._writer.note()

    def for_trigger(self) -> dict[str, Any] | None:
        """The trigger's argument `logs`; None: the trigger does not follow them."""
        from knit_core.errors import KnitError

        if not self._limit or setting("live_logs_tasks", TASKS) < 1:
            return None
        position = self._earlier()
        try:
            sealed = seal(self._application)
            if sealed is not None and position.cursor.offsets:
                position.by = self._by
                self._application.write_note(NOTE, position.to_json())
        except KnitError as error:
            self._log.warning("Container logs come when the task resumes: %s", error)
            return None
        if sealed is None:
            self._log.info(
                "Container logs come when the task resumes: the values to mask cannot be passed to the trigger"
            )
            return None
        begun = position.cursor.dump()
        return {"by": self._by, "limit": self._limit, "rest": self._rest, "sealed": sealed, "begun": begun}

    def _open(self) -> LogWriter:
        if self._writer is None:
            self._writer = LogWriter(
                self._application,
                self._log,
                limit=self._limit,
                rest=self._rest,
                position=self._earlier(),
                by=self._by,
                # Airflow masks the task's log, but not the copy that a worker prints to its own output.
                hide=Masker(self._application, masked_values() or ()),
            )
        return self._writer

    def _earlier(self) -> LogPosition:
        """The position of an earlier try with the same application."""
        if self._position is None:
            first = getattr(self._ti, "try_number", 1) <= 1
            self._position = LogPosition.nothing() if first else self._read_note(None)
            if self._position.cursor.offsets:
                self._log.info("Container logs up to here are in the log of an earlier try of this task")
        return self._position

    def _read_note(self, by: str | None) -> LogPosition:
        from knit_core.errors import KnitError

        try:
            return read_note(self._application, by)
        except KnitError as error:
            self._log.warning("The position in container logs is unknown, they are written again: %s", error)
            return LogPosition.nothing()

    def _warn(self, error: Exception) -> None:
        if str(error) != self._last_error:
            self._last_error = str(error)
            self._log.warning("Container logs: %s", error)
