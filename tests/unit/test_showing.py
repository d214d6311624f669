"""No object of ours shows a secret, whoever looks at it; a repr is one line, whatever the object holds."""

from __future__ import annotations

import dataclasses
import importlib
import io
import pprint
import traceback
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
from pydantic import BaseModel
from rich.pretty import pretty_repr

from knit_container.application_master import ApplicationMaster as ContainersMaster
from knit_container.store import Change, Entry
from knit_core import Application, Knit
from knit_core.application import Rows
from knit_core.config import Config, load_config
from knit_core.config.hadoop_conf import read_folder
from knit_core.environments import Environment
from knit_core.errors import ConnectionFailed
from knit_core.launch.plan import make_plan
from knit_core.model import representation as showing
from knit_core.model.cluster_facts import ClusterFacts, FileStatus, NewApplication
from knit_core.model.ids import ApplicationId, ContainerId
from knit_core.model.result import Container, Result
from knit_core.model.states import ContainerState, Outcome, State
from knit_core.model.upload import Upload
from knit_core.monitoring.diagnosis import Why
from knit_core.spec import application_spec

SECRET = "HUSH-7f3a"
LONG = 200_000
HOSTILE = f"<script>alert(1)</script>\n\r https://user:{SECRET}@gate/t/{SECRET}/x "
PACKAGES = [
    "knit_core",
    "knit_core.spec",
    "knit_core.config",
    "knit_core.logs",
    "knit_core.environments",
    "knit_core.functions",
    "knit_core.hadoop.http",
    "knit_core.local",
    "knit_core.dask_yarn",
    "knit_core.model.report",
    "knit_core.model.result",
    "knit_core.model.service_status",
    "knit_core.monitoring.diagnosis",
    "knit_core.launch.plan",
    "knit_core.model.cluster_facts",
    "knit_core.model.queues",
    "knit_core.monitoring.wait",
    "knit_core.testing",
    "knit_container",
    "knit_container.store",
]


def public_classes() -> list[type]:
    """What the packages hand out, and what the modules of plain data define."""
    found: dict[str, type] = {}
    for name in PACKAGES:
        module = importlib.import_module(name)
        names = getattr(module, "__all__", None) or [each for each in vars(module) if not each.startswith("_")]
        for each in names:
            value = getattr(module, each)
            if isinstance(value, type) and value.__module__.startswith("knit"):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return list(found.values())


def fields_of(cls: type) -> list[str]:
    if dataclasses.is_dataclass(cls):
        return [field.name for field in dataclasses.fields(cls)]
    if issubclass(cls, BaseModel):
        return list(cls.model_fields)
    return list(getattr(cls, "_fields", ()))


OTHERS = {Config, ApplicationId, ContainerId, Change, Entry}  # made of what their own code has checked; looked at below
DATA = [cls for cls in public_classes() if fields_of(cls) and cls not in OTHERS]
HUGE: dict[str, Any] = {
    "text": HOSTILE * (LONG // len(HOSTILE)),
    "texts": [HOSTILE] * 10_000,
    "mapping": {f"{HOSTILE}{number}": HOSTILE for number in range(1000)},
    "nested": {"a": [{"b": [{"c": [HOSTILE] * 3}] * 3}] * 3},
    "nothing": None,
    "number": 10**4000,
}


def filled(cls: type, value: Any) -> Any:
    """An instance whose fields all hold that, built without asking the class."""
    if issubclass(cls, BaseModel):
        return cls.model_construct(**dict.fromkeys(cls.model_fields, value))
    if issubclass(cls, tuple):
        return cls(*[value] * len(fields_of(cls)))
    instance = object.__new__(cls)
    for name in fields_of(cls):
        object.__setattr__(instance, name, value)
    return instance


def test_there_are_many_classes_to_look_at() -> None:
    assert len(DATA) > 40
    assert {Result, Container, Environment, Why, ClusterFacts} <= set(DATA)


@pytest.mark.parametrize("kind", HUGE)
def test_a_repr_is_one_short_line(kind: str) -> None:
    wrong = []
    for cls in DATA:
        text = repr(filled(cls, HUGE[kind]))
        if len(text) > showing.LONGEST or "\n" in text or "\r" in text or SECRET in text:
            wrong.append(f"{cls.__module__}.{cls.__name__}: {text[:300]!r}")
    assert wrong == []


NOTEBOOK = [
    Why(HOSTILE, (HOSTILE,), (HOSTILE,)),
    Result("application_1_0001", Outcome.FAILED, diagnostics=HOSTILE, values={HOSTILE: {0: HOSTILE}}),
    Container("main_0", "main", 0, 1, ContainerState.FAILED, diagnostics=HOSTILE, stderr=(HOSTILE,)),
    Rows([Container("main_0", "main", 0, 1, ContainerState.FAILED, diagnostics=HOSTILE)] * 1000),
    Rows([]),
    Environment("mine", f"hdfs://x/{HOSTILE}", "ab" * 32),
]


@pytest.mark.parametrize("shown", NOTEBOOK, ids=lambda each: type(each).__name__)
def test_what_notebooks_show_is_escaped_and_bounded(shown: Any) -> None:
    text = shown._repr_html_()
    assert ("<script>" not in text and "&lt;script&gt;" in text) or shown == []
    assert SECRET not in text
    assert len(text) < 200_000
    assert len(repr(shown)) <= showing.LONGEST


def test_entries_of_a_store_are_short() -> None:
    for each in (Entry("k" * 500, HOSTILE * 100, 3), Change("k" * 500, HOSTILE * 100, 3)):
        assert len(repr(each)) <= showing.LONGEST and "\n" not in repr(each)
    assert repr(Change("k", None, 3, deleted=True)) == "Change('k', deleted, revision=3)"


def test_reprs_of_the_classes_that_people_print() -> None:
    """As they are read: what is as by default is left out."""
    row = Container("main_0", "main", 0, 1, ContainerState.RUNNING, yarn="container_1")
    assert repr(row) == (
        "Container(id='main_0', service='main', instance=0, attempt=1, state=RUNNING, yarn='container_1')"
    )
    assert repr(application_spec("sleep 1", variables={"PASSWORD": SECRET}, instances=2)).startswith("ApplicationSpec(")
    assert SECRET not in repr(application_spec("sleep 1", variables={"PASSWORD": SECRET}))


@pytest.fixture
def knit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Knit:
    """A client with a password, from the environment and an address, and Hadoop's XML."""
    conf = tmp_path / "conf"
    conf.mkdir()
    rows = "".join(f"<property><name>some.{i}</name><value>{'x' * 100}</value></property>" for i in range(2000))
    (conf / "yarn-site.xml").write_text(
        "<configuration><property><name>yarn.resourcemanager.hostname</name><value>127.0.0.1</value></property>"
        f"{rows}</configuration>"
    )
    monkeypatch.setenv("HADOOP_CONF_DIR", str(conf))
    monkeypatch.setenv("KNIT_PASSWORD", SECRET)
    monkeypatch.setenv("KNIT_AUTH", "basic")
    options = {
        "namenode": f"http://alice:{SECRET}@127.0.0.1:9",
        "staging": "/user/alice/.knit",
        "proxy": f"http://alice:{SECRET}@127.0.0.1:8",
    }
    config = load_config(f"http://alice:{SECRET}@127.0.0.1:9", options)
    client = Knit(config=config)
    client.retry_timeout = 0.5
    return client


def ways_of_looking(thing: Any) -> Iterator[tuple[str, str]]:
    """Everything that shows it to somebody: printing, formatting, a debugger's or a rich traceback's view of it."""
    yield "repr", repr(thing)
    yield "str", str(thing)
    yield "format", f"{thing}"
    yield "pprint", pprint.pformat(thing)
    yield "rich", pretty_repr(thing)
    html = getattr(thing, "_repr_html_", None)
    if html is not None:
        yield "notebook", html()
    for name, value in attributes(thing):
        yield name, pprint.pformat(value)
        yield f"rich {name}", pretty_repr(value)


def attributes(thing: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """`vars` of it and of what it holds, as deep as that goes; classes of other packages are looked at once."""
    seen = set() if seen is None else seen
    if id(thing) in seen or len(path) > 200:
        return
    seen.add(id(thing))
    ours = type(thing).__module__.startswith("knit") or isinstance(thing, requests.Session)
    held: Mapping[Any, Any] = {}
    if isinstance(thing, Mapping):
        held = thing
    elif isinstance(thing, (list, tuple, set, frozenset)):
        held = dict(enumerate(thing))
    elif ours:
        held = {**getattr(thing, "__dict__", {}), **slots_of(thing)}
    for name, value in list(held.items()):
        if isinstance(value, types.ModuleType):
            continue
        yield f"{path}.{name}", value
        yield from attributes(value, f"{path}.{name}", seen)


def slots_of(thing: Any) -> dict[str, Any]:
    names = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ()) if isinstance(name, str)]
    return {name: getattr(thing, name) for name in names if hasattr(thing, name)}


def look(*things: Any, secrets: tuple[str, ...] = (SECRET,)) -> int:
    """How many views were looked at; none shows a secret."""
    count = 0
    for thing in things:
        for way, text in ways_of_looking(thing):
            count += 1
            for secret in secrets:
                assert secret not in text, f"{type(thing).__name__}: {way} shows a secret"
    return count


def test_a_client_with_a_password_shows_it_nowhere(knit: Knit) -> None:
    app = knit.attach("application_1_0001")
    parts = [knit.resourcemanager, knit.hdfs, knit.staging, knit.ledger, knit.user_key, knit.nodes, app.master]
    assert knit.resourcemanager.http.session.auth is not None
    assert knit.config.get("password") == SECRET, "it is used all the same"
    assert look(knit, knit.config, knit.config.settings, knit.config.hadoop, knit.cluster._auth, app, *parts) > 100
    assert len(repr(knit.config)) <= showing.LONGEST and "\n" not in repr(knit.config)
    assert f"{knit.config.settings['password']}" == "***"


def test_errors_of_a_client_with_a_password_do_not_show_it(knit: Knit) -> None:
    for call in (knit.resourcemanager.info, knit.hdfs.home, knit.check):
        with pytest.raises(Exception, match="no answer") as caught:
            call()
        look(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    from rich.console import Console
    from rich.traceback import Traceback

    console = Console(width=200, file=io.StringIO())
    try:
        knit.resourcemanager.info()
    except ConnectionFailed:
        console.print(Traceback(show_locals=True, locals_max_string=10_000))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "locals" in text
    assert SECRET not in text


def test_the_users_key_and_a_submission_show_no_secret(knit: Knit) -> None:
    key = SECRET.encode().ljust(32, b"k")
    knit.user_key._load = lambda _create: key  # type: ignore[method-assign]
    secret = knit.user_key.application_secret("application_1_0001")
    jar = Upload.of("knit-am.jar", b"jar")
    facts = ClusterFacts(
        new=NewApplication("application_1_0001", 8192, 8, {}),
        queues=(),
        totals=None,
        user="alice",
        staging="/user/alice/.knit",
        filesystem="hdfs://nn:8020",
        webhdfs=("http://nn:9870",),
    )
    plan = make_plan(application_spec("true"), facts, jar=jar, container_zip=Upload.of("z", b"z"), files={})
    document = Upload.of("knit-app.json", b"{}")
    staged = {
        path: FileStatus(path, 1, 1, False, "alice", "600")
        for path in (each.remote(facts.staging) for each in (*plan.uploads, document))
    }
    body = plan.submission(staged, document, secret)
    import base64

    forms = (SECRET, secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:20])
    look(knit.user_key, plan, body, plan.describe(), secrets=forms)
    from knit_core.hadoop.http.service import _Call, _encoded

    sent = _encoded(body)
    assert sent is not None and base64.b64encode(secret) in sent, "what is sent holds it"
    call = _Call("POST", "/", "submit", {}, sent, {}, (202,), False, False)
    assert base64.b64encode(secret).decode() not in repr(call)


def test_a_containers_token_is_shown_nowhere(tmp_path: Path) -> None:
    def block(data: bytes) -> bytes:
        return bytes([len(data)]) + data

    file = tmp_path / "tokens"
    file.write_bytes(b"HDTS\0\0\x01" + block(b"knit.token") + block(SECRET.encode()))
    environ = {
        "KNIT_MASTER": "127.0.0.1:9",
        "KNIT_MASTER_ATTEMPT": "1",
        "CONTAINER_ID": "container_1",
        "HADOOP_TOKEN_FILE_LOCATION": str(file),
    }
    look(ContainersMaster(environ))


def test_the_environment_of_hadoops_files_holds_no_password(tmp_path: Path) -> None:
    (tmp_path / "core-site.xml").write_text("<configuration/>")
    conf = read_folder(tmp_path, "test", {"KNIT_PASSWORD": SECRET, "KNIT_TOKEN": SECRET, "HOME": "/home"})
    look(conf)


def test_keys_of_a_dask_cluster_are_in_no_object_of_ours(tmp_path: Path) -> None:
    from knit_core.dask_yarn.services import layout_of, specification
    from knit_core.dask_yarn.tls import contents, key_file, security_of

    security = security_of(True)
    keys = tuple(value.splitlines()[1] for name, value in contents(security).items() if name.endswith("_key"))
    assert len(keys) == 3
    with key_file(security) as path:
        layout = layout_of(2, None, {"memory": 512})
        look(layout, application_spec(specification(layout, path, name="dask", queue=None)), secrets=keys)


def test_an_application_in_a_notebook_asks_nobody(knit: Knit) -> None:
    assert "application_1_0001" in Application(knit, "application_1_0001")._repr_html_()
    assert State.RUNNING  # the client's address does not answer: a question would have been an error
