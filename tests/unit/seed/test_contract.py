"""The seed's exceptions stand for knit_core's, message and cause included."""

from __future__ import annotations

import pytest

from knit import CondaException, HDFSConfigException, Knit, KnitException, YARNException
from knit.configuration import address
from knit.exceptions import translated
from knit_core import errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.NoClusterFound(["here"]), HDFSConfigException),
        (errors.ConfigError("x"), HDFSConfigException),
        (errors.SolveError("x"), CondaException),
        (errors.ConnectionFailed("x"), YARNException),
        (errors.ServiceUnavailable("x"), YARNException),
        (errors.UnexpectedReply("x"), YARNException),
        (errors.SpecError(["x"]), KnitException),
        (errors.QueueRefused("x"), KnitException),
    ],
)
def test_errors(error: errors.KnitError, kind: type[KnitException]) -> None:
    with pytest.raises(KnitException) as caught, translated():
        raise error
    assert type(caught.value) is kind
    assert str(caught.value).startswith(str(error))
    assert caught.value.__cause__ is error


def test_other_errors_stay() -> None:
    with pytest.raises(ZeroDivisionError), translated():
        _ = 1 / 0


def test_addresses() -> None:
    assert address("rm", 8088) == "http://rm:8088"
    assert address("https://rm:1", 8088) == "https://rm:1"


@pytest.mark.long
def test_no_resourcemanager_there() -> None:
    with pytest.raises(YARNException, match=r"127\.0\.0\.1:1\b.*proxy or gateway.*gateway_path"):
        Knit(rm="127.0.0.1", rm_port=1, nn="127.0.0.1", user="alice").start("true")


def test_bad_arguments_before_anything_is_asked() -> None:
    k = Knit(rm="127.0.0.1", rm_port=1, user="alice")
    assert repr(k) == "Knit<RM=127.0.0.1:1>"
    assert k.runtime_status() == "NONE"
    assert k.kill() is False
    for call in (k.logs, k.status, k.get_containers, k.wait_for_completion):
        with pytest.raises(KnitException, match="No application was started"):
            call()
    with pytest.raises(KnitException, match="files is a list"):
        k.start("true", files="x.zip")  # type: ignore[arg-type]
    with pytest.raises(KnitException, match="number of MiB"):
        k.start("true", memory="lots")  # type: ignore[arg-type]
