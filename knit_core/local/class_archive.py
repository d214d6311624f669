"""Class data sharing for the daemons: with an archive of its classes a daemon starts with half of the processor time.

The first cluster of a user on a machine has no archive: each daemon lists the classes that it loads. When all daemons serve, a
process in the background writes the archive into `class-archives` of the cache folder: about 130 MB, a minute of one processor
at the lowest priority; `down` ends it. Later clusters with the same Java and the same jars use it; each version of Hadoop has
its own. The JVM compares the version of Java, and time and size of each jar, and runs without the archive when something differs.

    python -m knit_core.local.class_archive STATE          (the process in the background)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from knit_core.local import daemons
from knit_core.local.configuration_files import Setup
from knit_core.local.java import Java, major
from knit_core.local.paths import cache_root
from knit_core.local.processes import exit_code, spawn
from knit_core.local.records import Record

OLDEST = 17  # earlier releases read other lists of classes
KEPT = 2  # archives of a version of Hadoop: another Java may be in use, too
_DELAY = 10.0  # seconds after all daemons serve; they load further classes with the first application
_SCRIPT = "knit_core.local.class_archive"
#: A JVM says nothing about an archive that it does not use.
_QUIET = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off", "-Xlog:class+path=off")


def folder() -> Path:
    """Where archives lie."""
    return cache_root() / "class-archives"


def options(name: str, setup: Setup, java: Java) -> list[str]:
    """JVM options of daemon `name`: use the archive, or list the classes for one; empty where neither is possible."""
    if major(java.version) < OLDEST or name in daemons.GATEWAYS:  # gateways have other jars
        return []
    archive = find(setup, java)
    if archive is not None:
        return [f"-XX:SharedArchiveFile={archive}", *_QUIET]
    return [f"-XX:DumpLoadedClassList={_lists(setup) / name}"] if _lists(setup).is_dir() else []


def find(setup: Setup, java: Java) -> Path | None:
    """The archive for these jars and this Java; None when there is none.

    The size stands in the name: a JVM can crash with an archive that is cut off.
    """
    prefix = _prefix(setup, java)
    for path in sorted(folder().glob(f"{prefix}-*.jsa")):
        with contextlib.suppress(OSError, ValueError):
            if path.stat().st_size == int(path.stem.rpartition("-")[2]):
                return path
    return None


def discard(setup: Setup, java: Java) -> None:
    """Remove the archive: a daemon did not start, and the archive may be the reason."""
    archive = find(setup, java)
    if archive is not None:
        with contextlib.suppress(OSError):
            archive.unlink()


def prepare(setup: Setup, java: Java) -> None:
    """Make the folders for the lists of classes and for archives, if there is no archive yet and Java can write one."""
    if major(java.version) >= OLDEST and find(setup, java) is None and not _failed(setup, java).exists():
        with contextlib.suppress(OSError):  # a cache that cannot be written
            folder().mkdir(mode=0o700, parents=True, exist_ok=True)
            _lists(setup).mkdir(parents=True, exist_ok=True)


def write_in_background(record: Record) -> None:
    """Start the process that writes the archive, unless there is one or no classes were listed."""
    setup = record.setup
    if find(setup, record.java) is not None or _failed(setup, record.java).exists() or not _lists(setup).is_dir():
        return
    env = {**daemons.environment(setup, record.java, os.environ), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", _SCRIPT, str(setup.state), f"{daemons.MARK}{setup.state}"]
    # The shell ends at once: the process is no child of this one, which may live long and would have to reap it.
    shell = ["/bin/sh", "-c", '"$@" &', "sh", *command]
    exit_code(spawn(shell, setup.state / "logs" / "class-archive.out", env, setup.state), 10.0)


def write(record: Record) -> Path | None:
    """Write the archive from the lists of classes; its path. None when another process writes it, or Java cannot.

    Raises:
        OSError: the folder for archives cannot be written.
    """
    setup, java = record.setup, record.java
    prefix = _prefix(setup, java)
    part = folder() / f"{prefix}.part"
    with (folder() / f"{prefix}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if (found := find(setup, java)) is not None:
            return found
        listed = setup.state / "tmp" / "classes"
        listed.write_text("".join(f"{line}\n" for line in merged(_lists(setup).glob("*"))))
        jars = daemons.classpath(setup).rpartition(os.pathsep)[0]
        done = subprocess.run(
            [str(java.binary), f"{daemons.MARK}{setup.state}", "-Xshare:dump", f"-XX:SharedClassListFile={listed}",
             f"-XX:SharedArchiveFile={part}", "-cp", jars],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if done.returncode > 0:
            _failed(setup, java).touch()  # each start of a cluster would try again, for a minute
        if done.returncode:  # negative: ended by a signal, as `down` does
            part.unlink(missing_ok=True)
            return None
        with part.open("rb") as file:
            os.fsync(file.fileno())
        archive = folder() / f"{prefix}-{part.stat().st_size}.jsa"
        part.replace(archive)
    _remove_old(setup)
    return archive


def merged(files: Iterable[Path]) -> list[str]:
    """Lines of several lists of classes, each once. Only whole lines: the daemons may still be writing.

    Classes with a `source:` are not of the class path. Ids are only unique within one list.
    """
    lines: dict[str, None] = {}
    for file in sorted(files):
        for line in file.read_text().rpartition("\n")[0].splitlines():
            if line and not line.startswith("#") and " source:" not in line:
                lines[line.partition(" id:")[0]] = None
    return list(lines)


def _lists(setup: Setup) -> Path:
    return setup.state / "run" / "classes"


def _failed(setup: Setup, java: Java) -> Path:
    """Exists when this Java could not write an archive for these jars."""
    return folder() / f"{_prefix(setup, java)}.failed"


def _prefix(setup: Setup, java: Java) -> str:
    jars = [(jar.name, jar.stat().st_size, jar.stat().st_mtime_ns) for jar in sorted(setup.jars.glob("*.jar"))]
    known = json.dumps([str(java.home), java.version, jars])
    return f"classes-{setup.hadoop}-{hashlib.sha256(known.encode()).hexdigest()[:16]}"


def _remove_old(setup: Setup) -> None:
    """Remove older archives of this version of Hadoop, and those without a version, which earlier Knits wrote."""
    archives = sorted(folder().glob(f"classes-{setup.hadoop}-*.jsa"), key=lambda path: path.stat().st_mtime)
    unversioned = [path for path in folder().glob("classes-*.jsa") if path.stem.count("-") == 2]
    for path in (*archives[:-KEPT], *unversioned):
        path.unlink(missing_ok=True)


def main(state: str) -> int:
    """The process in the background."""
    os.nice(19)
    time.sleep(_DELAY)
    record = Record.read(Path(state))
    return 1 if record is None or write(record) is None else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
