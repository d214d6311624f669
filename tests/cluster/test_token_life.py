"""Applications that outlive the delegation tokens of their launch, which last for two minutes here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("requests_gssapi")

from knit_core import Application, Knit, Outcome
from knit_core.errors import KnitError
from knit_core.local import LocalCluster
from knit_core.local.secure.kerberos_files import REALM
from tests.cluster_harness import eventually, no_class_archives

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = {"memory": 256, "vcores": 1}
LIFE = 120  # seconds
_TOKENS = ("dfs.namenode.delegation.token", "yarn.resourcemanager.delegation.token")


@pytest.fixture(scope="module")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knit]:
    folder = tmp_path_factory.mktemp("tokens")
    folder.chmod(0o755)
    cluster = LocalCluster(folder / "state")
    lives = {f"{name}.renew-interval": str(LIFE * 500) for name in _TOKENS}
    lives |= {f"{name}.max-lifetime": str(LIFE * 1000) for name in _TOKENS}
    try:
        cluster.up(kerberos=True, users=["alice"], settings=lives, timeout=240)
        options = {"keytab": str(cluster.keytab("alice")), "principal": f"alice@{REALM}"}
        with pytest.MonkeyPatch.context() as patch, no_class_archives():
            for name, value in cluster.environment.items():
                patch.setenv(name, value)
            with Knit(cluster.resourcemanager_url, options=options) as knit:
                yield knit
    finally:
        cluster.down(delete=True)


class Pushes:
    """Pushes new tokens to an application every 20 s until it has ended."""

    def __init__(self, app: Application) -> None:
        self._app, self._done = app, threading.Event()
        self.count, self.problems = 0, list[str]()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(20):
            try:
                self._app.push_tokens(force=True)
                self.count += 1
            except KnitError as error:
                self.problems.append(str(error))

    def stop(self) -> None:
        self._done.set()
        self._thread.join()


def test_containers_start_and_results_are_written_after_the_end_of_the_first_tokens(alice: Knit) -> None:
    begun = time.monotonic()
    command = f"sleep 35; [ $KNIT_ATTEMPT -ge {2 * LIFE // 35} ]"
    main = {
        "command": command,
        "files": [__file__],
        "restart": {"policy": "on-failure", "first_delay": 0.1, "limit": 20},
        **SMALL,
    }
    app = alice.submit({"services": {"main": main}})
    pushes = Pushes(app)
    try:
        result = app.wait(timeout=600, check=False)
    finally:
        pushes.stop()
    assert result.outcome is Outcome.SUCCEEDED, (result, pushes.problems)
    assert time.monotonic() - begun > 2 * LIFE * 0.9
    assert pushes.count > 5, pushes.problems


def test_a_task_of_airflow_pushes_while_it_waits(alice: Knit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without being asked to, when the tokens of the launch are about to end, and before the pushed ones do."""
    pytest.importorskip("airflow")
    from knit_airflow.triggers._application_wait import ApplicationWait, wait_blocking
    from knit_airflow.triggers._token_pushes import WorkerTokenPushes

    monkeypatch.setattr("knit_core.hadoop.token_schedule._AGAIN", 10.0)
    command = f"sleep 35; [ $KNIT_ATTEMPT -ge {2 * LIFE // 35} ]"
    restart = {"policy": "on-failure", "first_delay": 0.1, "limit": 20}
    app = alice.submit({"services": {"main": {"command": command, "files": [__file__], "restart": restart, **SMALL}}})
    pushes = WorkerTokenPushes(app, logging.getLogger("task"))
    done = wait_blocking(app, ApplicationWait(poll=1.0), on_status=lambda _status: pushes.tick())
    assert done is not None and done.outcome == "SUCCEEDED", done


def test_a_function_that_takes_longer_than_the_tokens_returns_its_value(alice: Knit) -> None:
    values: list[object] = []

    def slow(number: int) -> int:
        import time as clock

        clock.sleep(200)
        return number + 1

    def call() -> None:
        values.append(alice.map(slow, [41], workers=1, timeout=500, name="outlives", **SMALL))

    caller = threading.Thread(target=call)
    caller.start()
    (report,) = eventually(lambda: alice.list(name="outlives"), 120, "the application of the function")
    pushes = Pushes(alice.attach(report.id))
    caller.join()
    pushes.stop()
    assert values == [[42]], pushes.problems
    assert time.time() * 1000 - report.started_at > LIFE * 1000
