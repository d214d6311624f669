"""Uploads on a terminal: bytes and time left for what is large, nothing for what is small or where nobody looks."""

from __future__ import annotations

import io
import threading

from rich.console import Console

from knit_core.cli.upload_progress import UploadBar


def _shown(terminal: bool) -> str:
    out = io.StringIO()
    with UploadBar(Console(file=out, force_terminal=terminal, width=120)) as bar:

        def send(name: str, total: int) -> None:
            for sent in range(0, total + 1, total // 4):
                bar(name, sent, total)

        threads = [threading.Thread(target=send, args=given) for given in (("env.tar.gz", 40 << 20), ("tiny.sh", 400))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return out.getvalue()


def test_what_is_large_is_shown_with_its_bytes() -> None:
    shown = _shown(terminal=True)
    assert "upload env.tar.gz" in shown
    assert "41.9/41.9 MB" in shown
    assert "tiny.sh" not in shown


def test_without_a_terminal_nothing_is_shown() -> None:
    assert _shown(terminal=False).strip() == ""
