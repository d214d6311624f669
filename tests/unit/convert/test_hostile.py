"""Malformed and hostile inputs, of every kind: each is refused with words, quickly, and nothing is left behind."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from knit_core.convert import convert_files, specification
from knit_core.errors import SpecError
from tests.unit.convert.test_skein import ECHO
from tests.unit.convert.test_slider import ONE, component
from tests.unit.convert.test_yarn_service import SITE, one

Input = bytes | Callable[[Path], None]


def skein(fields: str) -> bytes:
    return f"services:\n  a:\n    script: x\n{fields}".encode()


def job(number: int) -> str:
    """A job of TonY; its name has letters only."""
    name = "".join(chr(97 + number // base % 26) for base in (1, 26, 676))
    return f"<property><name>tony.{name}.instances</name><value>1</value></property>"


def sparse(path: Path) -> None:
    """100 MB without their disk space."""
    with path.open("wb") as stream:
        stream.truncate(100_000_000)


def bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return ("\n".join(lines) + "\nservices: {a: {script: x, env: *a9}}\n").encode()


XML_BOMB = b"""<!DOCTYPE configuration [<!ENTITY a "tony.tony."> <!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<configuration><property><name>tony.&b;</name><value>&b;</value></property></configuration>"""
XML_FILE = b"""<!DOCTYPE configuration [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<configuration><property><name>tony.worker.command</name><value>&a;</value></property></configuration>"""

# name: (kind, input, words of the message)
INPUTS: dict[str, tuple[str, Input, str]] = {
    "empty": ("", b"", "the file is empty"),
    "only spaces": ("", b" \n\t\n", "the file is empty"),
    "only a mark of UTF-8": ("", b"\xef\xbb\xbf", "the file is empty"),
    "100 MB": ("", sparse, "larger than 10 MiB"),
    "UTF-16": ("", ECHO.encode("utf-16"), "it is UTF-16"),
    "UTF-16 without a mark": ("skein", ECHO.encode("utf-16-le"), "it is binary: a NUL character"),
    "Latin-1": ("skein", b"services: {a: {script: caf\xe9}}", ":1: not UTF-8: the byte 0xe9"),
    "binary": ("", bytes(range(256)), "not UTF-8"),
    "an ELF file": ("kitten", b"\x7fELF\x02\x01\x01\x00\x00\x00", "it is binary"),
    "a folder": ("skein", lambda path: path.mkdir(), "a folder should have Slider's files"),
    "a pipe": ("skein", lambda path: os.mkfifo(path), "should be a file"),
    "a file that is not there": ("skein", lambda path: None, "does not exist"),
    "a text": ("skein", b"hello", "should be a mapping"),
    "a list": ("skein", b"- a\n- b\n", "should be a mapping"),
    "two documents": ("skein", b"services: {a: {script: x}}\n---\nb: c\n", "a second document begins here"),
    "bad YAML": ("skein", b"services: {a: [}", "not YAML"),
    "a tag of YAML": ("skein", b"services: !!python/object/apply:os.system [touch oops]", "the YAML tag"),
    "a bomb of YAML": ("skein", bomb(), "with expanded aliases it has more than"),
    "a circle of YAML": ("skein", b"services: &a {b: *a}", "inside of the value that it refers to"),
    "deep YAML": ("skein", b"services: " + b"[" * 1000 + b"]" * 1000, "nested deeper than 50 levels"),
    "deep JSON": ("yarn-service", b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested deeper than 50 levels"),
    "bad JSON": ("yarn-service", SITE[:-3].encode(), "not JSON"),
    "not a number of JSON": ("yarn-service", b'{"name": NaN}', "NaN is not a JSON number"),
    "a bad merge": ("skein", b"services: {a: {<<: 5, script: x}}", "<< requires a mapping"),
    "duplicate keys of YAML": ("skein", skein("    script: y\n"), ":4: services.a.script: occurs twice (first in line 3)"),
    "duplicate keys of JSON": ("yarn-service", b'{"name": "a",\n"name": "b", "components": []}', ":2: name: occurs twice"),
    "a huge number": ("skein", skein("    instances: 1" + "0" * 400 + "\n"), "should be a whole number of at most 18 digits"),
    "a huge number of digits": ("skein", skein("    instances: 1" + "0" * 9000 + "\n"), "should be a whole number"),
    "too many instances": ("skein", skein("    instances: 1000000000\n"), "should be less than or equal to 100000"),
    "much memory": ("skein", skein("    resources: {memory: 9999999999999 TiB}\n"), "should be less than or equal to"),
    "a negative number": ("yarn-service", one({"number_of_containers": -1}).encode(), "should be greater than or equal to 0"),
    "a fraction": ("skein", skein("    instances: 1.5\n"), "should be a whole number"),
    "infinite memory": ("skein", skein("    resources: {memory: .inf}\n"), "memory is a number of MiB"),
    "wrong types": ("skein", b"services: [a]", "services: should be a mapping, not a list"),
    "a text for a mapping": ("skein", skein("    files: a.txt\n"), "services.a.files: should be a mapping"),
    "a mapping for a text": ("skein", b"name: {a: b}\nservices: {a: {script: x}}", "name: should be a text, not a mapping"),
    "a mapping for a list": ("yarn-service", b'{"name": "a", "components": {"b": {}}}', "components: should be a list"),
    "no services": ("skein", b"name: a\nservices: {}\n", "services"),
    "many services": (
        "skein",
        ("services:\n" + "".join(f"  a{n}: {{script: x}}\n" for n in range(2_000))).encode(),
        "more than 1000 services",
    ),
    "many components": (
        "yarn-service",
        json.dumps({"name": "a", "components": [{"name": f"a{n}"} for n in range(2_000)]}).encode(),
        "more than 1000 services",
    ),
    "many jobs": (
        "tony",
        f"<configuration>{''.join(map(job, range(2_000)))}</configuration>".encode(),
        "more than 1000 services",
    ),
    "many containers": (
        "kitten",
        b"c = {} for i = 1, 5000 do c[i] = { command = 'x' } end a = yarn { name = 'a', master = { command = "
        b"'java com.cloudera.kitten.appmaster.ApplicationMaster' }, containers = c }",
        "more than 1000 services",
    ),
    "many mistakes": (
        "skein",
        skein("    files:\n" + "".join(f"      a{n}: [x]\n" for n in range(2_000))),
        "there may be more",
    ),
    "a file name with a path": ("skein", skein("    files: {../../x: y}\n"), "should be a file name without a folder"),
    "a file name of two dots": ("skein", skein("    files: {..: y}\n"), "should be a file name without a folder"),
    "a NUL in a file name": ("skein", skein('    files: {"a\\0b": y}\n'), "must be one line"),
    "a reserved variable": ("skein", skein("    env: {KNIT_APP_ID: x}\n"), "reserved for Knit"),
    "no name of a variable": ("skein", skein('    env: {"a b; touch oops": x}\n'), "is not a name of an environment variable"),
    "a secret in place of a source": ("skein", skein("    files: {a: {source: [x]}}\n"), "should be a text, not a list"),
    "a path out of a folder": (
        "yarn-service",
        one({"configuration": {"files": [{"type": "XML", "dest_file": "../../.bashrc"}]}}).encode(),
        "a path may not leave its folder",
    ),
    "a service that waits for itself": ("skein", skein("    depends: [a]\n"), "services wait for one another in a circle"),
    "a long command": ("skein", f"services: {{a: {{script: {'x' * 200_000}}}}}".encode(), "Linux allows"),
    "a bomb of XML": ("tony", XML_BOMB, ":1: a document type (<!DOCTYPE) is not supported"),
    "a file in XML": ("tony", XML_FILE, ":1: a document type (<!DOCTYPE) is not supported"),
    "other XML": ("tony", b"<project>tony.</project>", "should be <configuration>, not <project>"),
    "deep XML": ("tony", b"<configuration>" + b"<a>" * 100_000, "nested deeper than 10 levels"),
    "included XML": (
        "tony",
        b'<configuration xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></configuration>',
        "other files are not included",
    ),
    "cut XML": ("tony", b"<configuration><property><name>tony.a", "not XML"),
    "a property twice": (
        "tony",
        b"<configuration><property><name>tony.a.instances</name><value>1</value></property>\n"
        b"<property><name>tony.a.instances</name><value>2</value></property></configuration>",
        ":2: tony.a.instances: twice, with another value in line 1",
    ),
    "half of Slider": ("slider", ONE.encode(), "needs metainfo.json too"),
    "a script": ("distributedshell", b"for x in a b; do yarn jar distributedshell -shell_command $x; done", "one command is read"),
    "a quote without end": ("distributedshell", b"yarn jar distributedshell -shell_command 'x", "is not closed"),
    "Lua without lupa's grammar": ("kitten", b"x = yarn {{{", "unexpected symbol"),
    "a Lua program that ends itself": ("kitten", b"error('bye')", "bye"),
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_it_is_refused_with_words(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, given, words = INPUTS[name]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "input"
    if isinstance(given, bytes):
        path.write_bytes(given)
    else:
        given(path)
    started = time.monotonic()
    with pytest.raises(SpecError) as caught:
        convert_files([path], kind)
    message = str(caught.value)
    assert words in message, message
    assert str(path) in message
    assert "Traceback" not in message and len(message) < 10_000
    assert time.monotonic() - started < 10
    assert {each.name for each in tmp_path.iterdir()} <= {"input"}


def test_a_bomb_of_slider_values_is_refused(tmp_path: Path) -> None:
    """Each value is ten times the one before it."""
    values = {f"site.g.v{n}": f"${{site.g.v{n + 1}}}" * 10 for n in range(9)} | {"site.g.v9": "x" * 1000}
    config = {"schema": "http://example.org/specification/v2.0.0", "global": values}
    for name, text in (
        ("resources.json", ONE),
        ("appConfig.json", json.dumps(config)),
        ("metainfo.json", component(commands=[{"exec": "echo {$conf:@//site/g/v0}"}])),
    ):
        (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match="refer to one another without end, or are too long"):
        convert_files([tmp_path])


def test_what_cannot_be_read_is_told_in_the_same_words_by_submit(tmp_path: Path) -> None:
    for name in ("empty", "UTF-16", "binary"):
        path = tmp_path / name.replace(" ", "-")
        path.write_bytes(INPUTS[name][1])  # type: ignore[arg-type]
        with pytest.raises(SpecError):
            specification(path)
