"""SIGTERM: the announcement that this container is about to end."""

from __future__ import annotations

import signal
import threading

_received = threading.Event()
_installed = False


def leaving() -> bool:
    """Whether this container is about to be ended: its service is scaled down, its application ends, or YARN preempts it.

    The first call installs a handler for SIGTERM: from then on the signal does not end the program, which has to end itself
    within the `stop_grace` of its service (250 ms without `stop_grace`). With unfinished work it should exit with a code other
    than 0, usually 143; a preempted container is replaced and does not count as failed.

    Raises:
        RuntimeError: the first call was not in the main thread, where Python handles signals.
    """
    global _installed
    if not _installed:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("call leaving() in the main thread first: Python handles signals only there")
        signal.signal(signal.SIGTERM, lambda *_: _received.set())
        _installed = True
    return _received.is_set()
