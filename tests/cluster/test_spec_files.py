"""Specification files and hostile texts on real daemons: nothing that a user typed is interpreted on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from knit_core import ApplicationSpec, Knit, Outcome
from knit_core.local import LocalCluster

pytestmark = pytest.mark.cluster
SMALL = {"memory": 64}
HOSTILE = 'it\'s "$HOME" `touch oops` $(touch oops) {{PWD}} <LOG_DIR> ; exit 1 # \\ * € \x01\x7f'
NAMES = [
    "a b.txt",
    "a$(touch oops)b",
    "`touch oops`",
    'qu"ote',
    "it's",
    "back\\slash",
    "-rf",
    "*",
    "é\u2028\U0001f9f6",
    "\x01\x7f",
]


def test_texts_and_names_arrive_as_they_were_typed(knit: Knit, tmp_path: Path) -> None:
    """Variables, words of a command, names of files; an empty file, bytes that are no text."""
    (tmp_path / "raw").write_bytes(bytes(range(256)))
    (tmp_path / "empty").write_bytes(b"")
    files = {name: str(tmp_path / "raw") for name in NAMES} | {"nothing here": str(tmp_path / "empty")}
    program = (
        "import hashlib, knit_container, os, sys\n"
        "files = {n: hashlib.sha256(open(n, 'rb').read()).hexdigest()[:8] for n in os.listdir() if os.path.islink(n)}\n"
        "knit_container.result([sys.argv[1:], os.environ['HOSTILE'], files, os.path.exists('oops')])\n"
    )
    app = knit.submit(
        ["python3", "-c", program, HOSTILE, "", "a\nb"], variables={"HOSTILE": HOSTILE}, files=files, **SMALL
    )
    words, variable, found, oops = app.wait(timeout=60).value
    assert (words, variable, oops) == ([HOSTILE, "", "a\nb"], HOSTILE, False)
    assert {name: digest for name, digest in found.items() if name in files} == (
        dict.fromkeys(NAMES, "40aff2e9") | {"nothing here": "e3b0c442"}
    )


def test_a_file_in_place_with_signs_of_urls_in_its_name(knit: Knit) -> None:
    path = "/user/alice/100% of ?x=#1 'it'.txt"
    knit.hdfs.write(path, b"in place\n")
    app = knit.submit("cat f.txt", files={"f.txt": f"hdfs://{path}"}, **SMALL)
    app.wait(timeout=60)
    assert [line.text for line in app.logs()] == ["in place"]


SPEC = """\
parameters:
  count: 1
  who:
x-small: &small {memory: 64 MiB, vcores: 1}
name: greetings
services:
  first:
    <<: *small
    command: cat words.txt
    files: [data/words.txt]
  second:
    <<: *small
    command: 'test "$KNIT_INSTANCES" = 2 && echo "to $WHO, $KNIT_INSTANCE"'
    instances: ${param.count}
    variables: {WHO: "${param.who}"}
    depends_on: {first: succeeded}
"""


def test_knit_submit(clean_cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "specs" / "data").mkdir(parents=True)
    (tmp_path / "specs" / "data" / "words.txt").write_text("hello\n")
    (tmp_path / "specs" / "a.yaml").write_text(SPEC)
    base = [sys.executable, "-m", "knit_core", "--cluster", clean_cluster.resourcemanager_url, "--user", "alice"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*base, "submit", *words], capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip

    words = ["specs/a.yaml", "--param", "who=$(id) it's", "--param", "count=2", "--queue", "science"]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert sorted(line.partition(" | ")[2] for line in done.stdout.splitlines()) == [
        "hello",
        "to $(id) it's, 0",
        "to $(id) it's, 1",
    ]
    assert "✓ succeeded    3 containers" in done.stderr
    assert run(*words, "--set", "services.second.command=exit 7").returncode == 7  # the program's own
    bad = run("specs/a.yaml", "--set", "services.second.memory=64 GiB", "--param", "who=x")
    assert (bad.returncode, "second: 64 GiB per container is more" in bad.stderr) == (1, True)
    assert run("specs/a.yaml").returncode == 1
    dry = run(*words, "--dry-run")
    assert (dry.returncode, '"queue": "science"' in dry.stdout) == (0, True)


def test_five_megabytes_of_specification(knit: Knit, tmp_path: Path) -> None:
    """Fifty services with 100 kB each; those without instances wait for somebody to scale them."""
    lines = ["completion: [s7]", "services:"]
    for number in range(50):
        lines += [
            f"  s{number}:",
            f"    instances: {int(number == 7)}",
            "    memory: 64",
            '    command: printf %s "$LARGE" | wc -c',
            f"    variables: {{LARGE: {'x' * 100_000}}}",
        ]
    (tmp_path / "large.yaml").write_text("\n".join(lines))
    assert (tmp_path / "large.yaml").stat().st_size > 5_000_000
    app = knit.submit(ApplicationSpec.load(tmp_path / "large.yaml"))
    assert app.wait(timeout=90).outcome is Outcome.SUCCEEDED
    assert [line.text for line in app.logs()] == ["100000"]
