"""Looking at running containers' logs in small amounts, and notes beside an application."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from knit_core import Application, Knit
from knit_core.logs import LogLine
from tests.cluster_harness import eventually

pytestmark = pytest.mark.cluster
COUNT = 20_000


def test_each_line_once_however_little_is_taken_at_a_time(knit: Knit, tmp_path: Path) -> None:
    """A flood beside a quiet container: what is not taken is kept, a log that was left does not come again."""
    tmp_path.chmod(0o755)
    flag = tmp_path / "go"
    program = (
        f"if [ $KNIT_INSTANCE = 0 ]; then seq 1 {COUNT}; fi; echo out; echo err >&2; "
        f"until [ -e {flag} ]; do sleep 0.2; done; printf end"
    )
    app = knit.submit(program, instances=2, memory=64)
    try:
        watch = app.watch_logs()
        seen: list[LogLine] = []

        def take() -> bool:
            seen.extend(islice(watch.look(), 700))
            return Counter(line.text for line in seen)["err"] == 2 and len(seen) >= 10_000

        eventually(take, 60, "lines of both")
        flooding = next(line for line in seen if line.text == "1")
        watch.leave(flooding.yarn, "stdout")
        before = len(seen)
        seen.extend(watch.look())
        assert not [line for line in seen[before:] if line.yarn == flooding.yarn and line.stream == "stdout"]
        watch.close()
        note_is_kept(app)
        flag.touch()
        app.wait(timeout="1 min")
        for file in app.log_files():
            rest = list(file.lines(watch.cursor))
            assert [line for line in rest if line.stream != file.stream] == []
            seen.extend(rest)
    finally:
        app.kill(grace=0)
    said = Counter((line.container, line.stream, line.text) for line in seen)
    assert max(said.values()) == 1
    assert len(said) == COUNT + 6
    assert [line.text for line in seen if line.yarn == flooding.yarn and line.text.isdigit()] == [
        str(number) for number in range(1, COUNT + 1)
    ]


def note_is_kept(app: Application) -> None:
    assert app.read_note("mine") is None
    for value in ({"a": [1]}, {"b": "ü"}):
        app.write_note("mine", value)
        assert Application(app.cluster, app.id).read_note("mine") == value
    assert [entry.name for entry in app.cluster.hdfs.list(app.folder) if "mine" in entry.name] == ["mine.json"]
