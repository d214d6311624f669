"""Queues by the names that YARN takes: what is refused before the launch, what is a warning, and what is submitted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from knit_core.application import Application
from knit_core.config import load_config
from knit_core.errors import ConfigError, QueueRefused, SpecError
from knit_core.model.cluster_facts import Queue
from knit_core.preflight import check_spec, queue_problems, spec_warnings, submitted_name
from knit_core.spec import application_spec
from tests.unit.test_preflight import FACTS, QUEUES

FAIR = (
    Queue("root", "root", False, True, makes=True, by_path=True),
    Queue("prod", "root.prod", False, True, makes=True, by_path=True),
    Queue("etl", "root.prod.etl", True, True, by_path=True),
    Queue("users", "root.users", False, True, makes=True, by_path=True),
)
AUTO = (
    Queue("root", "root", False, True),
    Queue("default", "root.default", True, True),
    Queue("users", "root.users", False, True, makes=True),
)

LEGACY = (
    Queue("root", "root", False, True),
    Queue("default", "root.default", True, True),
    Queue("users", "root.users", False, True, makes=True, by_mapping=True),
    Queue("alice", "root.users.alice", True, True),
)
TWO = (
    Queue("root", "root", False, True),
    Queue("dev", "root.dev", False, True),
    Queue("etl", "root.dev.etl", True, True),
    Queue("prod", "root.prod", False, True),
    Queue("etl", "root.prod.etl", True, True),
    Queue("dev", "root.prod.dev", True, True),
)


@pytest.mark.parametrize(
    ("queues", "queue", "refused", "remarked"),
    [
        (FAIR, None, "", ""),
        (FAIR, "default", "", "YARN may create it"),
        (FAIR, "root.prod.etl", "", ""),
        (FAIR, "prod.etl", "", ""),
        (FAIR, "users.bob", "", "there is no queue 'users.bob' at http://rm:8088 yet, YARN may create it"),
        (FAIR, "root.users.bob", "", "YARN may create it"),
        (FAIR, "newqueue", "", "YARN may create it"),
        (
            FAIR,
            "etl",
            "",
            "YARN may create it, or refuse the application; did you mean 'root.prod.etl'? it has: root.prod.etl.",
        ),
        (FAIR, "prod.etl.deeper", "", "YARN may create it, or refuse the application"),
        (
            FAIR,
            "root.users",
            "only contains other queues; YARN creates queues below it: use root.users.<name>.",
            "",
        ),
        (FAIR, "prod", "submit to one of: root.prod.etl; YARN creates queues below it", ""),
        (AUTO, None, "", ""),
        (AUTO, "users.alice", "", "YARN may create it"),
        (AUTO, "root.users.team.alice", "", "YARN may create it"),
        (
            AUTO,
            "alice",
            "There is no queue 'alice' at http://rm:8088; it has: root.default. YARN creates queues below root.users: use "
            "root.users.alice.",
            "",
        ),
        (AUTO, "teams.alice", "There is no queue 'teams.alice'", ""),
        (
            (*AUTO, Queue("deep", "root.users.deep", False, True, makes=True)),
            "deep.alice",  # YARN finds the parent by its last part
            "",
            "YARN may create it",
        ),
        (
            LEGACY,
            "users.bob",
            "",
            "only where its queue mappings place an application; name no queue, and they choose it",
        ),
        (LEGACY, "users.alice", "", "may refuse applications that name 'users.alice': name no queue"),
        (
            LEGACY,
            "users",
            "YARN creates queues below it where its queue mappings place an application: name no queue",
            "",
        ),
        (
            QUEUES[:1] + QUEUES[2:],
            None,
            "",
            "no queue was named; if the cluster's placement rules choose none, YARN refuses the application: There is no queue "
            "'default' at http://rm:8088; it has: root.old, root.small, root.teams.science.",
        ),
        ((QUEUES[0], Queue("default", "root.default", True, False)), None, "", "The queue 'default' is stopped"),
        (
            (QUEUES[0], Queue("a", "root.a", True, False, state="DRAINING")),
            "a",
            "The queue 'a' is stopped (DRAINING): its applications run to their end, and it accepts no new ones; an "
            "administrator can start it.",
            "",
        ),
        (TWO, "etl", "The name 'etl' means several queues; give the path: root.dev.etl, root.prod.etl.", ""),
        (TWO, "root.dev.etl", "", ""),
        (QUEUES[:1] + QUEUES[2:], "default", "There is no queue 'default'", ""),
        (
            (Queue("root", "root", False, True),),
            "root",
            "only contains other queues; it has none that accept applications.",
            "",
        ),
        ((), "any", "", ""),
    ],
)
def test_queues_that_are_made_when_they_are_named(
    queues: tuple[Queue, ...], queue: str | None, refused: str, remarked: str
) -> None:
    facts, spec = replace(FACTS, queues=queues), application_spec("x", queue=queue)
    said = ""
    try:
        check_spec(spec, facts, address="http://rm:8088")
    except QueueRefused as error:
        said = str(error)
    assert refused in said and bool(refused) == bool(said)
    told = "" if said else " ".join(spec_warnings(spec, facts, address="http://rm:8088"))
    assert remarked in told and bool(remarked) == bool(told)


def test_where_rules_may_choose_another_queue_only_yarn_can_refuse_one() -> None:
    facts = replace(FACTS, features=replace(FACTS.features, placement=True))
    for queue, problem in (("nope", "There is no queue 'nope'"), ("teams", "only contains"), ("old", "is stopped")):
        spec = application_spec("x", queue=queue, memory=2048)
        check_spec(spec, facts, address="http://rm:8088")
        (told,) = spec_warnings(spec, facts, address="http://rm:8088")
        assert told.startswith("if the cluster's placement rules choose no other queue, YARN refuses the application: ")
        assert problem in told
    check_spec(application_spec("x", queue="small", memory=2048), facts)  # the limits of small may not apply
    assert spec_warnings(application_spec("x", queue="science"), facts) == []


@pytest.mark.parametrize(
    ("queues", "queue", "sent"),
    [
        (QUEUES, None, None),
        (QUEUES, "default", "default"),
        (QUEUES, "science", "science"),
        (QUEUES, "root.teams.science", "root.teams.science"),
        (
            QUEUES,
            "teams.science",
            "root.teams.science",
        ),  # YARN would look for it by its last part, and only below "teams"
        (TWO, "dev", "root.prod.dev"),  # a parent has this name, too: YARN would refuse it as ambiguous
        (TWO, "etl", "etl"),
        (AUTO, "users.alice", "users.alice"),
        (FAIR, None, None),
        (FAIR, "prod.etl", "prod.etl"),
        (FAIR, "etl", "etl"),
        (tuple(replace(each, by_name=True) for each in QUEUES), "root.teams.science", "science"),  # Hadoop 3.3
        (tuple(replace(each, by_name=True) for each in QUEUES), "nope", "nope"),
        ((), "root.any", "root.any"),
    ],
)
def test_the_name_that_yarn_finds_the_queue_by(queues: tuple[Queue, ...], queue: str | None, sent: str | None) -> None:
    facts = replace(FACTS, queues=queues)
    assert submitted_name(application_spec("x", queue=queue), facts) == sent
    if queue is not None:  # from the configuration, too
        named = None if queue == "default" else sent  # YARN takes this name as none
        assert submitted_name(application_spec("x"), replace(facts, default_queue=queue)) == named


def test_a_queue_that_is_moved_to_must_be_there() -> None:
    assert list(queue_problems("users.bob", FAIR, "http://rm", made=False))
    assert not list(queue_problems("prod.etl", FAIR, "http://rm", made=False))
    (told,) = queue_problems("users", FAIR, "http://rm", made=False)
    assert told == "The queue 'users' only contains other queues; it has none that accept applications."


def test_a_move_names_the_queue_as_yarn_knows_it() -> None:
    moved: list[tuple[str, str]] = []
    rm = SimpleNamespace(
        queues=lambda: list(QUEUES), address="http://rm", move=lambda app_id, queue: moved.append((app_id, queue))
    )
    app = Application(cast("Any", SimpleNamespace(resourcemanager=rm)), "application_1_0001")
    for name in ("teams.science", "science", "root.teams.science"):
        app.move(name)
    assert moved == [("application_1_0001", name) for name in ("root.teams.science", "science", "root.teams.science")]
    with pytest.raises(QueueRefused, match=r"There is no queue 'nope' .*application_1_0001 stays where it is\."):
        app.move("nope")


@pytest.mark.parametrize("name", ["a..b", ".a", "a.", " a", "a .b", "a\tb", "root."])
def test_a_name_that_would_end_a_fair_scheduler_is_never_sent(name: str) -> None:
    with pytest.raises(SpecError, match="is not a valid name of a queue"):
        application_spec("x", queue=name)
    with pytest.raises(ConfigError, match=r"queue \(argument queue\): .* is not a valid name of a queue"):
        load_config("rm", {"queue": name}, {})
    assert application_spec("x", queue="root.users.alice-1_b").queue == "root.users.alice-1_b"
