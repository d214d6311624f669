"""The archive of the daemons' classes: when one is used, what is listed, what is written, what is left. No JVM."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from knit_core.local import class_archive
from knit_core.local.class_archive import discard, find, merged, options, prepare, write, write_in_background
from knit_core.local.configuration_files import Setup
from knit_core.local.java import Java
from knit_core.local.ports import WELL_KNOWN
from knit_core.local.records import Record

JVM = f"""#!{sys.executable}
import sys
given = dict(each.partition("=")[::2] for each in sys.argv)
if "-Xshare:dump" in sys.argv:
    classes = open(given["-XX:SharedClassListFile"]).read()
    open(given["-XX:SharedArchiveFile"], "w").write("archive of " + classes)
    sys.exit("java/lang/Bad" in classes)
"""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    jars = tmp_path / "jars"
    (tmp_path / "jdk" / "bin").mkdir(parents=True)
    (tmp_path / "jdk" / "bin" / "java").write_text(JVM)
    (tmp_path / "jdk" / "bin" / "java").chmod(0o755)
    jars.mkdir()
    (jars / "hadoop.jar").write_bytes(b"PK")
    (tmp_path / "state" / "tmp").mkdir(parents=True)
    setup = Setup(tmp_path / "state", jars, dict(WELL_KNOWN), "me", 1, False, (), {})
    return Record(setup, Java(tmp_path / "jdk", "17.0.9", "JAVA_HOME"))


def listed(record: Record, *classes: str) -> None:
    prepare(record.setup, record.java)
    (record.setup.state / "run" / "classes" / "namenode").write_text("".join(f"{each}\n" for each in classes))


def test_classes_are_listed_until_there_is_an_archive(record: Record) -> None:
    setup, java = record.setup, record.java
    assert options("namenode", setup, java) == []  # nobody has made the folder for the lists
    prepare(setup, java)
    assert options("namenode", setup, java) == [f"-XX:DumpLoadedClassList={setup.state}/run/classes/namenode"]
    listed(record, "java/lang/Object id: 0")
    archive = write(record)
    assert archive is not None
    assert archive.read_text() == "archive of java/lang/Object\n"
    assert options("namenode", setup, java)[0] == f"-XX:SharedArchiveFile={archive}"
    assert sorted(path.suffix for path in class_archive.folder().iterdir()) == [".jsa", ".lock"]
    assert class_archive.folder().stat().st_mode & 0o777 == 0o700


def test_another_java_or_other_jars_have_another_archive(record: Record) -> None:
    listed(record, "java/lang/Object")
    assert write(record)
    assert find(record.setup, record.java)
    assert find(record.setup, Java(record.java.home, "17.0.10", "")) is None
    assert options("namenode", record.setup, Java(record.java.home, "11.0.2", "")) == []
    (record.setup.jars / "more.jar").write_bytes(b"PK")
    assert find(record.setup, record.java) is None


def test_an_archive_that_is_cut_off_is_not_used(record: Record) -> None:
    listed(record, "java/lang/Object")
    archive = write(record)
    assert archive is not None
    archive.write_text("arch")
    assert find(record.setup, record.java) is None


def test_a_daemon_that_did_not_start_takes_the_archive_with_it(record: Record) -> None:
    listed(record, "java/lang/Object")
    assert write(record)
    discard(record.setup, record.java)
    assert find(record.setup, record.java) is None
    discard(record.setup, record.java)


def test_a_java_that_cannot_write_one_is_not_tried_again(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(record, "java/lang/Bad")
    assert write(record) is None
    assert sorted(path.suffix for path in class_archive.folder().iterdir()) == [".failed", ".lock"]
    monkeypatch.setattr(class_archive, "spawn", lambda *_: pytest.fail("it is tried again"))
    write_in_background(record)
    setup = replace(record.setup, state=record.setup.state / "another")
    prepare(setup, record.java)
    assert options("namenode", setup, record.java) == []


def test_one_process_writes_at_a_time(record: Record) -> None:
    import fcntl

    listed(record, "java/lang/Object")
    archive = write(record)
    assert archive is not None
    archive.unlink()
    with next(class_archive.folder().glob("*.lock")).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert write(record) is None
    assert write(record) == archive


def test_the_newest_archives_are_kept(record: Record) -> None:
    import os

    class_archive.folder().mkdir(parents=True)
    for number in range(4):
        old = class_archive.folder() / f"classes-3.4.2-{number}-1.jsa"
        old.write_text("x")
        os.utime(old, (number, number))
    listed(record, "java/lang/Object")
    archive = write(record)
    assert {path.name for path in class_archive.folder().glob("*.jsa")} == {
        "classes-3.4.2-3-1.jsa",
        archive and archive.name,
    }


def test_lists_are_merged(tmp_path: Path) -> None:
    """Each line once, without ids; not what is no class of the class path, nor a line that is still being written."""
    (tmp_path / "a").write_text(
        "# comment\njava/lang/Object id: 0\norg/A id: 1 super: 0 source: /x.jar\n@lambda-proxy B run\n"
    )
    (tmp_path / "b").write_text("java/lang/Object id: 7\norg/C id: 8\norg/Unfini")
    assert merged(sorted(tmp_path.iterdir())) == ["java/lang/Object", "@lambda-proxy B run", "org/C"]


def test_each_version_of_hadoop_keeps_its_archives(record: Record) -> None:
    class_archive.folder().mkdir(parents=True)
    earlier = class_archive.folder() / "classes-0123456789abcdef-3.jsa"
    earlier.write_text("abc")
    other = replace(record, setup=replace(record.setup, hadoop="3.3.6"))
    for java in ("17.0.1", "17.0.2", "17.0.3"):
        for each in (record, other):
            each = replace(each, java=replace(each.java, version=java))
            listed(each, "java/lang/Object")
            assert write(each)
    assert [find(other.setup, replace(other.java, version=f"17.0.{n}")) is not None for n in (1, 2, 3)] == [
        False,
        True,
        True,
    ]
    assert len(list(class_archive.folder().glob("classes-3.4.2-*.jsa"))) == class_archive.KEPT
    assert not earlier.exists()  # of a Knit whose archives named no version
