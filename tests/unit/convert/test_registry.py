"""Which launcher a description is for; files; the command line; `Knit.submit` with a path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from knit_core import Knit
from knit_core.convert import ConversionWarning, Source, convert, convert_files, rebased, specification
from knit_core.convert.registry import Told, tell
from knit_core.errors import SpecError
from knit_core.launch.launcher import Launch
from knit_core.spec.documents import load
from knit_core.testing import FakeKnit
from tests.unit.convert.test_command_lines import SHELL as DISTRIBUTED
from tests.unit.convert.test_command_lines import TONY, XML
from tests.unit.convert.test_kitten import SHELL as KITTEN
from tests.unit.convert.test_skein import ECHO
from tests.unit.convert.test_slider import APP_CONFIG, METAINFO, RESOURCES
from tests.unit.convert.test_yarn_service import SITE
from tests.unit.test_cli_spec import launched, run

__all__ = ["launched"]
OWN = "name: own\nservices:\n  a: {command: x, memory: 128}\n"
TOLD = {
    "skein": (ECHO, Told("skein")),
    "skein, a driver alone": ("master: {script: x}\n", Told("skein")),
    "YARN": (SITE, Told("yarn-service")),
    "resources": (RESOURCES, Told("slider", "resources")),
    "appConfig": (APP_CONFIG, Told("slider", "appConfig")),
    "metainfo": (METAINFO, Told("slider", "metainfo")),
    "kitten": (KITTEN, Told("kitten")),
    "DistributedShell": (DISTRIBUTED, Told("distributedshell")),
    "TonY": (TONY, Told("tony", "command")),
    "tony.xml": (XML, Told("tony", "conf")),
    "Knit": (OWN, Told("knit")),
    "Knit, whose command is of another": (
        "services:\n  a:\n    memory: 1\n    command: |\n"
        "      yarn jar distributedshell.jar -shell_command ls\n"
        "      com.linkedin.tony -executes x\n      x = yarn {\n",
        Told("knit"),
    ),
    "Knit with nothing told": ("services: {a: {files: [x]}}", Told("knit")),
}


@pytest.mark.parametrize("name", TOLD)
def test_told_by_content(name: str) -> None:
    text, told = TOLD[name]
    assert tell(Source("x", text)) == [told]


def test_what_is_ambiguous_is_not_guessed(tmp_path: Path) -> None:
    text = "services:\n  a: {script: x, command: y}\n"
    with pytest.raises(SpecError, match="a description for skein and knit: say which, with --from KIND"):
        convert([Source("x", text)])
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(SpecError, match="say which, with --from KIND"):
        specification(tmp_path / "x.yaml")
    conversion = convert([Source("x", text)], "skein")
    assert [loss.what for loss in conversion.lost] == ["services.a.command"]


def test_what_is_nothing_is_said() -> None:
    with pytest.raises(
        SpecError, match="no description of skein, yarn-service, slider, kitten, distributedshell, tony"
    ):
        convert([Source("x", "hello: world")])
    with pytest.raises(SpecError, match=r"metainfo\.json is read, not metainfo\.xml"):
        convert([Source("x", "<metainfo></metainfo>")])
    with pytest.raises(SpecError, match="x:2: not valid Unicode"):
        convert([Source("x", "a\n\ud800")])
    with pytest.raises(SpecError, match="a specification of Knit already"):
        convert([Source("x", OWN)])
    with pytest.raises(SpecError, match="x and y: they are two descriptions; convert one"):
        convert([Source("x", ECHO), Source("y", SITE)])
    with pytest.raises(SpecError, match="x and y: they are two descriptions"):
        convert([Source("x", ECHO), Source("y", ECHO)])


SKEIN = """\
name: small
services:
  main:
    script: cat words.txt
    files: {words.txt: data/words.txt}
    env: {GREETING: "${param.x} $$"}
    instances: 2
    allow_failures: true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "spec.yaml"
    path.write_text(SKEIN)
    return path


def test_paths_are_relative_to_the_file_and_follow_it(file: Path) -> None:
    spec, conversion = specification(file)
    assert spec.services["main"].files[0].source == str(file.parent / "data" / "words.txt")
    assert conversion is not None
    target = file.parent.parent / "out" / "x.yaml"
    target.parent.mkdir()
    moved = rebased(conversion, file, target)
    assert moved.document["services"]["main"]["files"][0]["source"] == "../in/data/words.txt"
    target.write_text(moved.text())
    assert (
        Path(load(target).services["main"].files[0].source).resolve() == (file.parent / "data" / "words.txt").resolve()
    )
    assert rebased(conversion, file, file.parent / "y.yaml") is conversion


def test_a_reference_to_a_parameter_is_a_text(file: Path) -> None:
    spec, _conversion = specification(file)
    assert spec.services["main"].variables["GREETING"] == "${param.x} $$"


def test_own_specifications_are_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("parameters: {n: 1}\n" + OWN + '  b: {command: y, instances: "${param.n}"}\n')
    spec, conversion = specification(path, {"n": "3"}, overrides={"name": "other"})
    assert (spec.name, spec.services["b"].instances, conversion) == ("other", 3, None)
    with pytest.raises(SpecError, match="does not exist"):
        specification(tmp_path / "none.yaml")


def test_knit_convert(file: Path) -> None:
    code, out, err = run("convert", str(file))
    assert (code, out.splitlines()[:3]) == (
        0,
        [
            "# Converted from skein by `knit convert`.",
            f"# Lost: {file}:6: variable GREETING: its value is literal here: nothing in it is expanded",
            f"# Lost: {file}:8: services.main.allow_failures: failed instances do not end the application; "
            "in the end its outcome is FAILED",
        ],
    )
    assert (
        err.splitlines()[0]
        == f"lost  {file}:6: variable GREETING: its value is literal here: nothing in it is expanded"
    )
    code, out, err = run("-q", "convert", str(file), "--json")
    assert (code, json.loads(out)["services"]["main"]["instances"], err) == (0, 2, "")
    target = file.parent.parent / "there.yaml"
    code, out, err = run("convert", str(file), "--from", "skein", "-o", str(target))
    assert (code, out, err.splitlines()[-1]) == (0, "", f"✓ {target}   small: main × 2")
    assert load(target).services["main"].files[0].source == str(target.parent / "in/data/words.txt")
    code, out, err = run("convert", str(file), "-o", str(file.parent))
    assert (code, "cannot be written: Is a directory" in err) == (1, True)


def test_knit_convert_of_what_cannot_be_converted(file: Path) -> None:
    file.write_text(SKEIN.replace("instances: 2", "instances: two"))
    code, out, err = run("convert", str(file))
    assert (code, out) == (1, "")
    assert err == (
        "✗ SpecError: This skein file cannot be converted: "
        f"{file}:7: services.main.instances: should be a whole number of at most 18 digits, not 'two'\n"
    )
    assert run("convert", str(file), "--from", "mesos")[0] == 2


def test_knit_submit_of_a_foreign_file(file: Path, launched: list[tuple[object, dict[str, object]]]) -> None:
    code, _out, err = run("submit", str(file), "--set", "services.main.instances=5", "--name", "mine")
    assert (code, f"lost  {file}:6" in err) == (0, True)
    spec = launched[0][0]
    assert (spec.name, spec.services["main"].instances) == ("mine", 5)  # type: ignore[attr-defined]
    code, _out, err = run("submit", str(file), "--set", "services.mian.instances=5")
    assert (code, "there is no service 'mian'; did you mean 'main'?" in err) == (1, True)


def test_submit_with_a_path(file: Path) -> None:
    knit = FakeKnit()
    with pytest.warns(ConversionWarning, match=r"Converted from skein; lost:\n  - .*spec\.yaml:6: variable GREETING"):
        knit.submit(file, queue="science")
    assert (knit.submitted[0].spec.name, knit.submitted[0].spec.queue) == ("small", "science")
    own = file.with_name("own.yaml")
    own.write_text(OWN)
    assert knit.submit(own).wait().outcome.value == "SUCCEEDED"
    knit.submit(str(own))  # a text is a command
    assert knit.submitted[2].spec.services["main"].command == str(own)


def test_plan_and_submit_of_the_client_take_paths(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launches: list[Launch] = []
    for name in ("launch", "plan_only"):
        monkeypatch.setattr(f"knit_core.client.{name}", lambda launch: launches.append(launch) or "application_1_0001")
    with Knit("http://127.0.0.1:1", user="alice") as knit:
        for call in (knit.submit, knit.plan):
            with pytest.warns(ConversionWarning) as caught:
                call(file, name="mine")
            assert [each.filename for each in caught] == [__file__]
    assert [(each.spec.name, each.spec.services["main"].instances) for each in launches] == [("mine", 2)] * 2


def test_a_folder_is_submitted_too(tmp_path: Path, launched: list[tuple[object, dict[str, object]]]) -> None:
    for name, text in (("resources.json", RESOURCES), ("appConfig.json", APP_CONFIG), ("metainfo.json", METAINFO)):
        (tmp_path / name).write_text(text)
    assert run("submit", str(tmp_path))[0] == 0
    assert launched[0][0].name == "LISTENER"  # type: ignore[attr-defined]
    assert (
        convert_files([tmp_path / "metainfo.json", tmp_path / "resources.json", tmp_path / "appConfig.json"]).kind
        == "slider"
    )
