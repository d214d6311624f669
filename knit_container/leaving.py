"""Whether this container has been told to end soon."""

from __future__ import annotations

import signal
import threading

_told = threading.Event()
_watching = False


def leaving() -> bool:
    """Whether this container has been told to end soon: it is scaled away, stopped with its application, or YARN is going to
    preempt it.

    The first call takes SIGTERM over: from then on the signal ends nothing, and the program ends itself, within the
    `stop_grace` of its service. Without `stop_grace` there are 250 ms. A program that leaves because of this, with work
    left to do, ends with a code other than 0 (143 is usual); preempted, it is replaced and not counted as failed.

    Raises:
        RuntimeError: the first call was not in the main thread, where Python takes signals.
    """
    global _watching
    if not _watching:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("call leaving() in the main thread first: only there does Python take signals")
        signal.signal(signal.SIGTERM, lambda *_: _told.set())
        _watching = True
    return _told.is_set()
