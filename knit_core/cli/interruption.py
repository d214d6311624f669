"""Interruption of a command: Ctrl-C, SIGTERM, SIGHUP, or a closed output."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

CLOSED_PIPE = 128 + signal.SIGPIPE
_NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


class Stopped(KeyboardInterrupt):
    """This process got a signal to end; `number` is that of the signal."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(_NAMES.get(signal.Signals(number), str(number)))


@contextlib.contextmanager
def signals_interrupt() -> Iterator[None]:
    """A context in which SIGTERM and SIGHUP raise `Stopped`, as Ctrl-C raises KeyboardInterrupt.

    A signal that is ignored stays ignored (`nohup`).
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers and is interrupted
        return
    before = {number: signal.getsignal(number) for number in _NAMES}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_of_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP end this process at once, without a traceback."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *_NAMES):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


def exit_code(stop: BaseException) -> int:
    """The exit code as in shells: 128 plus the signal's number."""
    if isinstance(stop, BrokenPipeError):
        return CLOSED_PIPE
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


def reason(stop: BaseException) -> str:
    """The diagnostics of an application that is ended because of the interruption."""
    if isinstance(stop, BrokenPipeError):
        return "the output of the command that launched it was closed"
    if isinstance(stop, Stopped):
        return f"the command that launched it got {stop}"
    return "interrupted at the terminal"


def forget_closed_outputs() -> None:
    """Redirect closed outputs to the null device: otherwise their buffers cause an error when the interpreter ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)
