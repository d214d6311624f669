"""The container's script in a real bash: whatever a user typed arrives as it was typed."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knit_core.launch.container_script import container_script, localised_names, script_name
from knit_core.spec import Service

HOSTILE = [
    "plain",
    "",
    " leading and trailing ",
    "it's",
    '"double"',
    "$HOME ${HOME} $(echo oops) `echo oops` $$",
    "{{HADOOP_HOME}} {{}} <LOG_DIR> <CPS>",
    "line one\nline two\n",
    "tab\there",
    "carriage\rreturn\r\n",
    "\x01\x02\x1b[31mred\x7f'quote\\backslash",
    "\x01a\x1ff\x07abc",
    "back\\slash \\n \\x41 \\",
    "!history !! %jobs ~ * ? [a] {a,b}",
    "; exit 3 #",
    "&& false || : & | > /dev/null < /nowhere",
    "déjà vu 日本語 \U0001f9f6",
    "\u0085\u2028\ufeff",
    "-n",
    "'; touch oops; '",
]


def _run(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    path = folder / script_name("main")
    path.write_bytes(script.encode())
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), **variables}
    # as in a container: `exec bash ./<script>`
    return subprocess.run(["bash", f"./{path.name}"], cwd=folder, env=environ, capture_output=True, timeout=20)


def _value_in_bash(value: str, folder: Path) -> str:
    ran = _run(container_script(Service(command='printf %s "$V"', variables={"V": value})), folder)
    assert (ran.returncode, ran.stderr) == (0, b"")
    return ran.stdout.decode()


def _command_in_bash(text: str, folder: Path) -> str:
    """The command gets `text` quoted by the user; what it prints is `text` when our own quoting adds nothing."""
    ran = _run(container_script(Service(command=["printf", "%s", text])), folder)
    assert (ran.returncode, ran.stderr) == (0, b"")
    return ran.stdout.decode()


@pytest.mark.parametrize("value", HOSTILE)
def test_a_variable_arrives_as_it_was_typed(value: str, tmp_path: Path) -> None:
    assert _value_in_bash(value, tmp_path) == value
    assert [path.name for path in tmp_path.iterdir()] == ["knit-main.sh"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_command_arrives_as_it_was_typed(text: str, tmp_path: Path) -> None:
    assert _command_in_bash(text, tmp_path) == text
    assert [path.name for path in tmp_path.iterdir()] == ["knit-main.sh"]


def test_standard_input_is_empty_though_the_containers_is_an_open_pipe(tmp_path: Path) -> None:
    """YARN gives a pipe that is never closed; also what an environment's scripts read must end."""
    path = tmp_path / script_name("main")
    path.write_text(container_script(Service(command="cat; exit 5")))
    reading, writing = os.pipe()
    try:
        ran = subprocess.run(["bash", str(path)], cwd=tmp_path, stdin=reading, capture_output=True, timeout=20)
    finally:
        os.close(reading)
        os.close(writing)
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, b"", b"")


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40) | st.text(
    st.sampled_from("\x01\x07\n\r\t '\"\\$`(){}<>!#&;|*?~a0é\x7f"), max_size=25
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=_texts)
def test_any_text_arrives(text: str, tmp_path: Path) -> None:
    assert _value_in_bash(text, tmp_path) == text
    assert _command_in_bash(text, tmp_path) == text


def test_the_command_is_bash_and_its_exit_code_is_the_containers(tmp_path: Path) -> None:
    service = Service(command='set -o pipefail\nx=(a b)\necho "${x[1]}" && false | true', variables={"A": "b"})
    ran = _run(container_script(service), tmp_path)
    assert (ran.returncode, ran.stdout) == (1, b"b\n")
    assert _run(container_script(Service(command="exit 42")), tmp_path).returncode == 42


def test_the_command_takes_the_scripts_process(tmp_path: Path) -> None:
    """YARN's signals reach the user's program, with no shell between."""
    script = "echo $$\n" + container_script(Service(command="echo $$; exec python3 -c 'import os; print(os.getpid())'"))
    assert len(set(_run(script, tmp_path).stdout.split())) == 1


def test_what_every_container_gets(tmp_path: Path) -> None:
    service = Service(command='echo "$PYTHONPATH|$PYTHONUNBUFFERED|$LANG|$HOME"')
    ran = _run(container_script(service), tmp_path, PYTHONPATH="/x", HOME="/nowhere/at/all")
    assert ran.stdout.decode() == f"{tmp_path}/knit-container.zip:/x|1|C.UTF-8|{tmp_path}\n"
    ran = _run(container_script(service), tmp_path, LANG="de_DE.UTF-8")
    assert ran.stdout.decode() == f"{tmp_path}/knit-container.zip|1|de_DE.UTF-8|{tmp_path}\n"


def test_the_users_variables_win(tmp_path: Path) -> None:
    service = Service(command='echo "$PYTHONUNBUFFERED"', variables={"PYTHONUNBUFFERED": "0"})
    assert _run(container_script(service), tmp_path).stdout == b"0\n"


def _environment(prefix: Path) -> None:
    python = prefix / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho this is the one\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    (prefix / "etc/conda/activate.d").mkdir(parents=True)
    (prefix / "etc/conda/activate.d/one.sh").write_text("export FROM_PACKAGE=yes\n")
    (prefix / "ssl").mkdir()
    (prefix / "ssl/cacert.pem").write_text("certificates\n")


@pytest.mark.parametrize("kind", ["archive", "path"])
def test_python_is_the_environments(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "container"
    folder.mkdir()
    prefix = folder / "environment" if kind == "archive" else tmp_path / "it's $HOME"
    _environment(prefix)
    archive = "env.zip" if kind == "archive" else str(prefix)
    service = Service(
        command='python; echo "$CONDA_PREFIX|$PYTHON_BIN|$FROM_PACKAGE|$SSL_CERT_FILE"',
        environment={"archive": archive, "kind": kind},
    )
    ran = _run(container_script(service), folder)
    assert ran.stderr == b""
    assert ran.stdout.decode().splitlines() == [
        "this is the one",
        f"{prefix}|{prefix}/bin/python|yes|{prefix}/ssl/cacert.pem",
    ]


def test_an_environment_without_python_ends_the_container(tmp_path: Path) -> None:
    ran = _run(container_script(Service(command="echo ran", environment="env.zip")), tmp_path)
    assert (ran.returncode, ran.stdout) == (127, b"")
    assert ran.stderr.decode() == f"knit: no python in the environment ({tmp_path}/environment/bin/python)\n"


def test_a_python_that_the_node_does_not_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "environment/bin").mkdir(parents=True)
    (tmp_path / "environment/bin/python").symlink_to("/opt/gone/python3")
    ran = _run(container_script(Service(command="echo ran", environment="env.zip")), tmp_path)
    assert (ran.returncode, ran.stdout) == (127, b"")
    assert "bin/python is a link to /opt/gone/python3, which " in ran.stderr.decode()


def test_control_characters_do_not_stand_in_the_script() -> None:
    script = container_script(Service(command="a\rb", variables={"V": "\x1b[0m"}))
    assert not set(script) & set(map(chr, (*range(9), *range(11, 32), 127)))


NAMES = [
    "a b",
    "a$(touch oops)b",
    "`id`",
    'qu"ote',
    "it's",
    "back\\slash",
    "-rf",
    "*",
    "é\u2028\U0001f9f6",
    "\x01\x7f",
    "; id #",
]


def test_files_have_the_names_that_were_asked_for(tmp_path: Path) -> None:
    """YARN makes links of harmless names; the script gives the right ones."""
    service = Service(
        command=["cat", "--", *NAMES], files={name: f"/data/{number}" for number, name in enumerate(NAMES)}
    )
    links = localised_names(service)
    assert all(re.fullmatch(r"\.knit-file-\d+|-rf", link) for link in links)
    for number, link in enumerate(links):
        (tmp_path / link).write_text(f"{number} ")
    ran = _run(container_script(service), tmp_path)
    assert (ran.stderr, ran.stdout.decode()) == (b"", "".join(f"{number} " for number in range(len(NAMES))))
    assert {path.name for path in tmp_path.iterdir()} == {"knit-main.sh", *links, *NAMES}


def test_plain_names_are_yarns_to_link() -> None:
    service = Service(command="x", files=["a.txt", "b-1_c.tar.gz", "d+e@f=g,h"])
    assert localised_names(service) == ["a.txt", "b-1_c.tar.gz", "d+e@f=g,h"]
    assert "ln " not in container_script(service)


def test_one_file_under_two_names_is_localised_once(tmp_path: Path) -> None:
    """Of two links to one file the NodeManager makes the last only."""
    service = Service(command="cat one two it\\'s", files={"one": "/a/x", "two": "/b/x", "it's": "/a/x"})
    assert localised_names(service) == ["one", "two", "one"]
    names = localised_names(service, {"/a/x": "/cache/1", "/b/x": "/cache/1"})
    assert names == ["one", "one", "one"]
    (tmp_path / "one").write_text("x")
    assert _run(container_script(service, names), tmp_path).stdout == b"xxx"
    service = Service(command="true", environment="/e.tar.gz", files={"e": "/f.tar.gz"})
    places = {"/e.tar.gz": "/cache/2", "/f.tar.gz": "/cache/2"}
    assert localised_names(service, places) == ["e"]  # one is localised packed, the other unpacked
    assert localised_names(service, places, shared=True) == ["environment"]


def test_a_users_pythonpath_hides_nothing_of_ours(tmp_path: Path) -> None:
    """However it is set: as a variable, by the node, by a package's script."""
    ours = f"{tmp_path}/knit-container.zip"
    service = Service(command='printf %s "$PYTHONPATH"', variables={"PYTHONPATH": "./lib"})
    assert _run(container_script(service), tmp_path, PYTHONPATH="/x").stdout.decode() == f"{ours}:./lib"
    service = Service(command='printf %s "$PYTHONPATH"', variables={"PYTHONPATH": "./lib:$PYTHONPATH"})
    assert _run(container_script(service), tmp_path, PYTHONPATH="/x").stdout.decode() == f"{ours}:./lib:/x"
    _environment(tmp_path / "environment")
    (tmp_path / "environment/etc/conda/activate.d/one.sh").write_text("export PYTHONPATH=/package\n")
    service = Service(command='printf %s "$PYTHONPATH"', environment="env.zip")
    assert _run(container_script(service), tmp_path).stdout.decode() == f"{ours}:/package"


@pytest.mark.parametrize("reference", ["$PATH", "${PATH}"])
def test_a_variable_that_refers_to_itself_is_added_to(reference: str, tmp_path: Path) -> None:
    value = f'it\'s "/opt/x":$HOME/bin:{reference}'
    service = Service(command='printf "%s\n" "$PATH" "$B"', variables={"PATH": value, "B": "$PATH:${B}x$BB"})
    ran = _run(container_script(service), tmp_path, B="before")
    assert ran.stderr == b""
    path = f'it\'s "/opt/x":{tmp_path}/bin:{os.environ["PATH"]}'
    assert ran.stdout.decode().splitlines() == [path, f"{path}:beforex"]


@pytest.mark.parametrize("value", ["$PATHS:$(id)", "$HOME/x:${HOME}", "$", "${", "${V", "$1$V1", "a$$b"])
def test_no_other_variable_is_expanded(value: str, tmp_path: Path) -> None:
    assert _value_in_bash(value, tmp_path) == value


def test_bash_is_found_whatever_the_path_is(tmp_path: Path) -> None:
    service = Service(command='printf %s "$PATH"', variables={"PATH": "/nowhere", "BASH": "/nowhere"})
    ran = _run(container_script(service), tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"/nowhere", b"")
