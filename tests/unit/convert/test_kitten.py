"""kitten's Lua: what is converted, what is lost, what is refused, and that a program gets out of nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from knit_core.convert import Source, convert, convert_files, lua
from knit_core.errors import SpecError
from tests.unit.convert.harness import converted, lost, refused, set_fields

SHELL = """\
-- A shell on every node; the command is put together below.
LINES = 3
HOME_OF_JARS = "/opt/kitten"
shared = cat { GREETING = "hello", CLASSPATH = table.concat({"${CLASSPATH}", HOME_OF_JARS .. "/*"}, ":") }

shell = yarn {
  name = "Greeter",
  queue = "science",
  timeout = 90000,
  user = "alice",
  memory = 128,
  conf = { ["a.b"] = "c" },
  tolerated_failures = 2,

  master = {
    env = shared {},
    cores = 2,
    command = {
      base = "${JAVA_HOME}/bin/java com.cloudera.kitten.appmaster.ApplicationMaster",
      args = { "-conf job.xml", "1> <LOG_DIR>/stdout" },
    },
  },

  containers = {
    {
      instances = LINES,
      cores = 2,
      priority = 1,
      env = shared { N = function() return 10 end, WHERE = "$HOME" },
      command = { base = "cat words.txt", args = { "-n", "1>> <LOG_DIR>/stdout 2> <LOG_DIR>/stderr" } },
      resources = {
        ["words.txt"] = { file = "data/words of 2012.txt", type = "file", visibility = "private" },
        { hdfs = "/data/model.zip", type = "archive" },
      },
    },
    { commands = { "mkdir out", java_cmd { main = "Main", jvm_args = { "Xmx64m" } } }, memory = 256 },
  },
}
"""


def test_an_application() -> None:
    conversion = converted(SHELL)
    spec = conversion.spec
    assert (conversion.kind, spec.name, spec.queue, spec.lifetime) == ("kitten", "Greeter", "science", 90)
    assert set_fields(conversion, "container-1") == {
        "instances": 3,
        "memory": 128,
        "vcores": 2,
        "command": "cat words.txt -n",
        "variables": {"CLASSPATH": "${CLASSPATH}:/opt/kitten/*", "GREETING": "hello", "N": "10", "WHERE": "$HOME"},
        "files": [
            {"source": "hdfs:///data/model.zip", "name": "model.zip", "type": "ARCHIVE"},
            {"source": "data/words of 2012.txt", "name": "words.txt", "type": "FILE"},
        ],
        "restart": "never",
        "required": False,
    }
    assert set_fields(conversion, "container-2")["command"] == "mkdir out\n${JAVA_HOME}/bin/java -Xmx64m Main"
    assert set_fields(conversion, "container-2")["memory"] == 256


def test_what_is_lost_has_its_line() -> None:
    assert lost(converted(SHELL)) == {
        "user": 10,
        "conf": 12,
        "tolerated_failures": 13,
        "master.cores": 17,
        "container-1.priority": 28,
        "variable WHERE": 29,
    }


MASTER = 'master = { command = "java com.cloudera.kitten.appmaster.ApplicationMaster" }'


def app(container: str, more: str = "", name: str = "one") -> str:
    return f'{name} = yarn {{ name = "a", {MASTER}, container = {{ {container} }}, {more} }}\n'


def test_one_container_and_no_tolerated_failure() -> None:
    conversion = converted(app('command = "true"', "tolerated_failures = 0"))
    assert set_fields(conversion, "container") == {
        "instances": 1,
        "memory": 512,
        "vcores": 1,
        "command": "true",
        "restart": "never",
    }
    assert conversion.lost == ()


def test_one_of_several_applications_is_named(tmp_path: Path) -> None:
    path = tmp_path / "two.lua"
    path.write_text(app('command = "first"') + app('command = "second"', name="other"))
    with pytest.raises(SpecError, match="has 2 applications, name one as FILE:NAME: one, other"):
        convert_files([path])
    conversion = convert_files([f"{path}:other"])
    assert set_fields(conversion, "container")["command"] == "second"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (app(""), "container: it has no command"),
        (app('command = "x --conf job.xml"'), "job.xml, which kitten writes, is not there"),
        (app("command = 3"), "container.command: should be a text"),
        (app('command = "x", instances = "many"'), "file:1: instances: should be a whole number, not 'many'"),
        (app('command = "x", memory = 1/0'), "memory: should be a whole number, not 'inf'"),
        (app('command = "x", env = 5'), "container.env: should be a table"),
        (app('command = "x", resources = { a = {} }'), "resources 'a': should have file, hdfs or url"),
        (app('command = "x", resources = { ["../a"] = { file = "/etc/passwd" } }'), "must be a name without a path"),
        (app('command = "x", resources = { a = { file = "x", type = "pattern" } }'), "type should be file or archive"),
        ('one = yarn { name = "a", container = { command = "x" } }', "master: it is missing"),
        (
            'one = yarn { name = "a", master = { command = "java My" }, container = { command = "x" } }',
            "not kitten's own",
        ),
        (f"one = yarn {{ {MASTER}, container = {{ command = 'x' }} }}", "name: it is missing"),
        (f"one = yarn {{ name = 'a', {MASTER} }}", "should be a table, or a list of tables"),
        ("one = yarn(5)", "file:1: yarn needs a table"),
        ("one = yarn {\n  name = PWD .. 'x',\n}", "file:2: attempt to concatenate global 'PWD' (a nil value)"),
        ("one = yarn {\n  name = \n}", "file:3: unexpected symbol near '}'"),
    ],
)
def test_refusals(text: str, words: str) -> None:
    assert any(words in problem for problem in refused(text)), refused(text)


HOSTILE = {
    "a loop": ("while true do end", "more than 5000000 instructions"),
    "a loop that catches the limit": ("while true do pcall(function() while true do end end) end", "more than 5000000"),
    "memory": ("x = string.rep('a', 1e9)", "it uses more than 64 MiB"),
    "a pattern that takes for ever": (
        "string.find(('a'):rep(30000), ('a*'):rep(30) .. 'b')",
        "exceeded a limit on",
    ),
    "os.execute": ("os.execute('touch oops')", "file:1: os is not available"),
    "io.open": ("io.open('/etc/passwd')", "io is not available"),
    "io.popen": ("local p = io.popen", "io is not available"),
    "require": ("require 'socket'", "require is not available"),
    "dofile": ("dofile('/etc/passwd')", "dofile is not available"),
    "load": ("load(function() end)", "load is not available"),
    "loadstring": ("loadstring('x = 1')", "loadstring is not available"),
    "package": ("package.loadlib('x', 'y')", "package is not available"),
    "debug": ("debug.getregistry()", "debug is not available"),
    "python": ("python.eval('1')", "python is not available"),
    "setfenv": ("setfenv(1, {})", "setfenv is not available"),
    "coroutine": ("coroutine.wrap(function() while true do end end)()", "coroutine is not available"),
    "recursion": ("function f() return 1 + f() end f()", "stack overflow"),
    "a table in itself": ("a = { name = 'x' } a.a = a b = yarn(a)", "a table that contains itself"),
    "deep": ("a = {} for i = 1, 1000 do a = { a } end b = yarn(a)", "nested deeper than 50 levels"),
    "many values": ("a = {} for i = 1, 200000 do a[i] = i end b = yarn(a)", "more than 100000 values"),
    "error without a text": ("error({})", "it ended with an error"),
    "bytes": ("a = yarn { name = '\\255' }", "a text in it is not UTF-8"),
    "no application": ("a = { b = yarn }", "calls yarn for no application"),
    "compiled": ("\x1bLua", "it is compiled Lua"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, words = HOSTILE[name]
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    problems = refused(text, kind="kitten")
    assert len(problems) == 1
    assert words in problems[0], problems
    assert time.monotonic() - started < 2 * lua.TIMEOUT
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_outlives_its_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lua, "_SANDBOX", Path(__file__).with_name("sleeping.py"))
    with pytest.raises(SpecError, match=r"a\.lua: the program exceeded a limit on time: it runs longer than 0\.2 s"):
        lua.run(Source("a.lua", "x = 1"), timeout=0.2)


def test_a_process_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lua, "_SANDBOX", tmp_path / "none.py")
    with pytest.raises(SpecError, match=r"a\.lua: the process that runs Lua failed: .*none\.py"):
        lua.run(Source("a.lua", "x = 1"))


def test_without_lupa_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SpecError, match=r"pip install 'knit-yarn\[lua\]'"):
        convert([Source("a.lua", SHELL)])


def test_the_process_has_neither_variables_nor_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sandbox would do if Lua let a program out of it."""
    monkeypatch.setenv("SECRET", "1")
    monkeypatch.setattr(lua, "_SANDBOX", Path(__file__).with_name("confined.py"))
    with pytest.raises(SpecError, match="SECRET not set; open Too many open files; socket Too many open files"):
        lua.run(Source("a.lua", "x = 1"))
    assert sys.platform == "linux"


def test_lines_of_fields() -> None:
    found = lua.Lines(
        '--[[ a = 1\n]] b = {\n  c = "d = {", -- e = 5\n  ["f.g"] = {\n h = [[\nx = 1]], i = 1 == 2 } }\nj = 2\n'
    )
    assert found.found == [
        (("b",), 2),
        (("b", "c"), 3),
        (("b", "f.g"), 4),
        (("b", "f.g", "h"), 5),
        (("b", "f.g", "i"), 6),
        (("j",), 7),
    ]
    assert (found.line("f.g", "i"), found.line("other", "i"), found.line("none")) == (6, 6, 0)
