"""The part of the ApplicationMaster's command line about its archive of classes, as bash and YARN's script run it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from knit_core.config import load_config
from knit_core.launch.class_sharing import archive_name, split_classpath
from knit_core.launch.plan import master_command
from knit_core.model.cluster_facts import ClusterFacts, NewApplication
from knit_core.model.upload import Upload

JAR = Upload.of("knit-am.jar", b"jar")
CLASSPATH = "$HADOOP_CONF_DIR, /a/*, /b/x.jar, /etc/more"
APP = "appcache/application_1_0001"
FIRST = "container_e17_1_0001_01_000001"


class Node:
    """A node's local folder, with an archive that may be used, and a `java` that tells its arguments."""

    def __init__(self, root: Path) -> None:
        self.root, self.java = root, root / "java"
        self.java.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@"\nrm -f {root}/disk/usercache/alice/knit/*.started\n')
        self.java.chmod(0o755)
        self.local = root / "disk"
        self.facts = ClusterFacts(
            NewApplication("application_1_0001", 8192, 4, {}), (), None, "alice", "hdfs://nn:8020", ("http://nn:9870",),
            "/user/alice/.knit", classpath=CLASSPATH, java=str(self.java),
        )  # fmt: skip
        self.name = archive_name(JAR.sha256, str(self.java), CLASSPATH)
        self.folder = self.local / "usercache/alice/knit"
        self.options, self.archive = self.folder / f"{self.name}.options", self.folder / f"{self.name}.jsa"
        self.folder.mkdir(parents=True, mode=0o700)
        self.write(self.archive, "x" * 1000)
        self.write(self.options, "-Dknit.archive.size=1000\n-XX:SharedArchiveFile=…\n")

    @staticmethod
    def write(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o600)

    def run(
        self, *, local: str | None = None, container: str = FIRST, sharing: bool = True, memory: int = 256
    ) -> list[str]:
        """The arguments that `java` gets, of a launch as YARN's script does it."""
        command = master_command(replace(self.facts, class_sharing=sharing), memory, JAR)
        assert "{{" not in command and "}}" not in command and '"' not in command
        logs = self.root / "logs"
        logs.mkdir(exist_ok=True)
        script = self.root / "launch_container.sh"
        script.write_text(
            f'#!/bin/bash\nset -o pipefail -e\nexport HADOOP_CONF_DIR="/etc/conf"\nexport CONTAINER_ID="{container}"\n'
            f"export LOCAL_DIRS={shlex.quote(f'{self.local}/usercache/alice/{APP}' if local is None else local)}\n"
            f'exec /bin/bash -c "{command.replace("<LOG_DIR>", str(logs))}"\n'
        )
        done = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=20, cwd=self.root)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert (logs / "stderr").read_text() == ""
        return (logs / "stdout").read_text().splitlines()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def _plain(node: Node) -> list[str]:
    """The end of the arguments without an archive: only what tells where one would be differs from no class sharing."""
    return [
        "-cp",
        "knit-am.jar:/etc/conf:/a/*:/b/x.jar:/etc/more",
        f"-Dknit.archive={node.name}",
        "-Dknit.conf=/etc/conf:/etc/more",
        "knit.am.Main",
    ]


def _given(node: Node) -> list[str]:
    return [
        *_plain(node)[:-1],
        "-Dknit.conf.apart=true",  # on the command line: Java 8 does not read the file of options
        "-XX:+IgnoreUnrecognizedVMOptions",
        f"-XX:VMOptionsFile={node.options}",
        "-cp",
        "knit-am.jar:/a/*:/b/x.jar",
        "knit.am.Main",
    ]


def test_an_archive_is_used(node: Node) -> None:
    assert node.run()[-len(_given(node)) :] == _given(node)


def test_without_an_archive_classes_are_recorded_when_the_options_say_so(node: Node) -> None:
    node.archive.unlink()
    node.write(node.options, "-Dknit.archive.size=\n-XX:+RecordDynamicDumpInfo\n")
    assert node.run()[-len(_given(node)) :] == _given(node)


def test_the_setgid_bit_of_secure_nodes_is_allowed(node: Node) -> None:
    node.folder.chmod(0o2700)
    assert node.run()[-len(_given(node)) :] == _given(node)


def test_of_several_disks_the_first_counts(node: Node) -> None:
    mine, other = f"{node.local}/usercache/alice/{APP}", f"{node.root}/other/usercache/alice/{APP}"
    assert node.run(local=f"{mine},{other}")[-len(_given(node)) :] == _given(node)
    assert node.run(local=f"{other},{mine}")[-5:] == _plain(node)


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


SPOILED: dict[str, Callable[[Node], object]] = {
    "no folder": lambda node: node.folder.rename(node.root / "away"),
    "no options": lambda node: node.options.unlink(),
    "an empty file of options": lambda node: node.write(node.options, ""),
    "a truncated archive": lambda node: node.write(node.archive, "x" * 999),
    "an empty archive": lambda node: node.write(node.archive, ""),
    "an archive that the options do not know": lambda node: node.write(node.options, "-Dknit.archive.size=\n"),
    "a folder that the group may read": lambda node: node.folder.chmod(0o750),
    "a folder that all may write": lambda node: node.folder.chmod(0o777),
    "options that others may read": lambda node: node.options.chmod(0o644),
    "options that others may write": lambda node: node.options.chmod(0o666),
    "an archive that others may write": lambda node: node.archive.chmod(0o602),
    "a pipe for options": lambda node: _pipe(node.options),
    "a link to a folder": lambda node: _link(node.folder),
    "a link to options": lambda node: _link(node.options),
    "a link to an archive": lambda node: _link(node.archive),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_not_right_is_not_used(node: Node, how: str) -> None:
    SPOILED[how](node)
    assert node.run()[-5:] == _plain(node)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("part", ["folder", "options", "archive"])
def test_another_users_is_not_used(node: Node, part: str) -> None:
    os.chown(getattr(node, part), 12345, 12345)
    assert node.run()[-5:] == _plain(node)


@pytest.mark.parametrize("container", ["container_e17_1_0001_02_000001", "container_1_0001_02_000001", "", "x"])
def test_a_later_attempt_does_without(node: Node, container: str) -> None:
    assert node.run(container=container)[-5:] == _plain(node)


@pytest.mark.parametrize("user", ["al ice", "a$(touch x)b", "a`touch x`b", "a;touch x", "a*", "älice", "a'b", "a\\b"])
def test_folders_with_odd_names_are_not_used(node: Node, user: str) -> None:
    odd = node.local / "usercache" / user
    node.folder.parent.rename(odd)
    assert node.run(local=f"{odd}/{APP}")[-5:] == _plain(node)
    assert not (node.root / "x").exists()


@pytest.mark.parametrize("local", ["", "/", "usercache/alice/appcache/x", "/tmp/x", ","])
def test_local_folders_that_are_not_yarns(node: Node, local: str) -> None:
    assert node.run(local=local)[-5:] == _plain(node)


def test_switched_off(node: Node) -> None:
    assert node.run(sharing=False)[-3:] == [*_plain(node)[:2], "knit.am.Main"]


def test_a_container_without_room_for_writing_one_has_none(node: Node) -> None:
    assert node.run(memory=255)[-3:] == [*_plain(node)[:2], "knit.am.Main"]


@pytest.mark.parametrize(
    "option",
    [
        "-XX:VMOptionsFile=x",
        "-Xshare:off",
        "-XX:SharedArchiveFile=x",
        "@file",
        "-javaagent:a.jar",
        "-agentlib:jdwp",
        "-agentpath:/a.so",
        "-Xrunhprof",
    ],
)
def test_options_of_the_java_command_that_do_not_go_together_with_it(node: Node, option: str) -> None:
    node.facts = replace(node.facts, java=f"{node.java} {option}")
    arguments = node.run()
    assert arguments[0] == option
    assert arguments[-3:] == [*_plain(node)[:2], "knit.am.Main"]


def test_after_a_jvm_that_did_not_start_the_next_is_given_nothing(node: Node) -> None:
    starts = node.java.read_text()
    node.java.write_text(starts.replace("rm -f", ": rm -f"))
    assert node.run()[-len(_given(node)) :] == _given(node)
    assert node.run()[-5:] == _plain(node)
    (node.folder / f"{node.name}.started").unlink()  # as the ApplicationMaster does
    assert node.run()[-len(_given(node)) :] == _given(node)


def test_the_mark_of_a_start_is_no_way_out_of_the_folder(node: Node) -> None:
    (node.folder / f"{node.name}.started").symlink_to(node.root / "made")
    assert node.run()[-5:] == _plain(node)
    assert not (node.root / "made").exists()


def test_the_name_tells_everything_that_the_client_knows() -> None:
    assert (
        len({archive_name(*given) for given in [("a", "", "b"), ("c", "", "b"), ("a", "java", "b"), ("a", "", "c")]})
        == 4
    )
    assert archive_name("a", "", "b") == archive_name("a", "", "b")


def test_only_jars_stay_in_the_class_path() -> None:
    jars, folders = split_classpath("$HADOOP_CONF_DIR, /a/*,/b/x.jar , ,/c,$D/lib/*")
    assert (jars, folders) == (["/a/*", "/b/x.jar", "$D/lib/*"], ["$HADOOP_CONF_DIR", "/c"])


@pytest.mark.parametrize(
    ("given", "on"), [(None, True), ("true", True), (True, True), ("False", False), (False, False)]
)
def test_the_setting(given: object, on: bool, tmp_path: Path) -> None:
    options = {"class_sharing": given, "user": "alice"}
    config = load_config("http://rm:8088", options, {"HOME": str(tmp_path)}, local=False)
    assert config.class_sharing is on
