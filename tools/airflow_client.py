"""A small client of Airflow's REST API, with waits that have deadlines, for the tests and the demo."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar
from urllib.parse import quote

import requests

T = TypeVar("T")

ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
#: Seconds for which calls are repeated: the api-server may be restarted, and SQLite busy, for that long.
RETRY_TIMEOUT = 45.0


class NotInTime(AssertionError):
    """A condition did not become true before its deadline; the message has the last thing seen."""


def wait_for(
    what: str,
    probe: Callable[[], T | None],
    deadline: float,
    poll: float = 0.25,
    seen: Callable[[], object] | None = None,
) -> T:
    """Call `probe` until it returns something true, and return that.

    Parameters:
        what: names the condition in the error.
        deadline: seconds.
        poll: seconds between two calls.
        seen: what to show in the error when the time is up.

    Raises:
        NotInTime: the deadline passed.
    """
    until = time.monotonic() + deadline
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > until:
            shown = f"; last seen: {seen()}" if seen else ""
            raise NotInTime(f"{what}: not within {deadline:.0f} s{shown}")
        time.sleep(poll)


class AirflowClient:
    """Calls to one api-server; logs in by itself (SimpleAuthManager, with or without a password).

    Parameters:
        url: base address, such as `http://127.0.0.1:8080`.
        user: with `password`, who logs in; without, the server must let everybody in as administrator.
    """

    def __init__(self, url: str, user: str | None = None, password: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._login = {"username": user, "password": password} if user else None
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, method: str, path: str, *, ok: Collection[int] = (200, 201, 204), **arguments: Any) -> Any:
        """One call below `/api/v2`; logs in again when the token has run out.

        What only reads is repeated for a while when the server is not there or says that it is its own fault; what
        changes something when SQLite was busy: nothing was changed then.

        Raises:
            RuntimeError: the answer's status is none of `ok`; the message has its text.
            requests.ConnectionError: there is no server.
        """
        until = time.monotonic() + RETRY_TIMEOUT
        while True:
            try:
                reply = self._once(method, path, **arguments)
            except (requests.ConnectionError, requests.Timeout):
                if method != "GET" or time.monotonic() > until:
                    raise
            else:
                if reply.status_code in ok:
                    return reply.json() if reply.content else None
                passing = reply.status_code >= 500 and (method == "GET" or "Database error" in reply.text)
                if not passing or time.monotonic() > until:
                    raise RuntimeError(f"{method} {path}: Airflow answered {reply.status_code}: {reply.text[:2000]}")
            time.sleep(0.5)

    def _once(self, method: str, path: str, **arguments: Any) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._log_in()
        reply = self._session.request(method, f"{self.url}/api/v2{path}", timeout=60, **arguments)
        if reply.status_code == 401:
            self._log_in()
            reply = self._session.request(method, f"{self.url}/api/v2{path}", timeout=60, **arguments)
        return reply

    def health(self) -> dict[str, Any]:
        """The state of each part; empty while the api-server does not answer."""
        try:
            reply = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5)
        except requests.RequestException:
            return {}
        return dict(reply.json()) if reply.ok else {}

    def wait_parsed(self, dag_id: str, deadline: float = 60) -> None:
        """Wait until the DAG is known; an import error of any file ends the wait.

        Raises:
            NotInTime: the deadline (seconds) passed.
            RuntimeError: a DAG file could not be imported.
        """

        def known() -> bool:
            errors = self.call("GET", "/importErrors")["import_errors"]
            if errors:
                raise RuntimeError("\n".join(f"{each['filename']}:\n{each['stack_trace']}" for each in errors))
            found = self.call("GET", f"/dags/{dag_id}", ok=(200, 404))
            return found.get("dag_id") == dag_id and not found.get("is_stale")

        wait_for(f"DAG {dag_id} parsed", known, deadline, poll=0.5)

    def trigger(
        self,
        dag_id: str,
        conf: dict[str, Any] | None = None,
        *,
        logical_date: str | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a run, for a date (ISO 8601, with a zone) or none; returns its id, the given or a generated one."""
        body = {"logical_date": logical_date, "conf": conf or {}, **({"dag_run_id": run_id} if run_id else {})}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a DAG run."""
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id)}")["state"])

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """A task instance as the API shows it (`state`, `try_number`, `hostname`, `pid` …)."""
        return dict(self.call("GET", self._task_path(dag_id, run_id, task_id)))

    def wait_task(
        self, dag_id: str, run_id: str, task_id: str, states: str | Collection[str], deadline: float, tries: int = 0
    ) -> dict[str, Any]:
        """Wait until a task instance is in one of the states, in try `tries` or later; returns it.

        Raises:
            NotInTime: the deadline (seconds) passed, or the task ended in another state; has the task's log.
        """
        wanted = {states} if isinstance(states, str) else set(states)
        last: dict[str, Any] = {}

        def there() -> dict[str, Any] | None:
            last.update(self.task(dag_id, run_id, task_id))
            if last["try_number"] < tries:
                return None
            if last["state"] in wanted:
                return last
            if last["state"] in ENDED:
                log = self.log(dag_id, run_id, task_id, max(1, last["try_number"]))
                raise NotInTime(f"{dag_id}.{task_id} is {last['state']}, wanted {sorted(wanted)}; its log:\n{log}")
            return None

        try:
            return wait_for(
                f"{dag_id}.{task_id} in {sorted(wanted)}",
                there,
                deadline,
                seen=lambda: (last["state"], last["try_number"]),
            )
        except NotInTime as late:
            if "its log" in str(late):
                raise
            log = self.log(dag_id, run_id, task_id, max(1, last["try_number"]))
            raise NotInTime(f"{late}; its log:\n{log}") from None

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> str:
        """The text of a task's log, one event per line; tracebacks are kept, times and levels dropped."""
        reply = self.call(
            "GET",
            f"{self._task_path(dag_id, run_id, task_id)}/logs/{attempt}",
            ok=(200, 404),
            params={"full_content": "true"},
            headers={"Accept": "application/json"},
        )
        lines: list[str] = []
        for event in reply.get("content", []):
            if isinstance(event, str):
                lines.append(event)
                continue
            lines.append(str(event.get("event")))
            for error in event.get("error_detail") or []:
                lines.append(f"{error.get('exc_type')}: {error.get('exc_value')}")
        return "\n".join(lines)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """A task's XCom value; None where there is none."""
        path = f"{self._task_path(dag_id, run_id, task_id)}/xcomEntries/{quote(key)}"
        reply = self.call("GET", path, ok=(200, 404), params={"deserialize": "false", "stringify": "false"})
        return reply.get("value")

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str | None]:
        """A task's extra links: name to address."""
        return dict(self.call("GET", f"{self._task_path(dag_id, run_id, task_id)}/links")["extra_links"])

    def mark(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task `failed`, `success` or `skipped`, as a person does in the grid."""
        self.call("PATCH", self._task_path(dag_id, run_id, task_id), json={"new_state": state})

    def mark_run(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a whole run `failed` or `success`."""
        self.call("PATCH", f"/dags/{dag_id}/dagRuns/{quote(run_id)}", json={"state": state})

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a run with its task instances; Airflow refuses it (409) while the run is running."""
        self.call("DELETE", f"/dags/{dag_id}/dagRuns/{quote(run_id)}")

    def add_connection(self, connection_id: str, **fields: Any) -> None:
        """Make a connection."""
        self.call("POST", "/connections", json={"connection_id": connection_id, **fields})

    def clear(self, dag_id: str, run_id: str, *task_ids: str | tuple[str, int], newest: bool = False) -> None:
        """Clear tasks of one run, whatever their state.

        Parameters:
            task_ids: of a mapped task, (its id, its map index) is one of its instances.
            newest: run them as the DAG is now, not as it was when the run began.
        """
        body: dict[str, Any] = {"dry_run": False, "only_failed": False, "dag_run_id": run_id}
        body |= {"task_ids": list(task_ids), "run_on_latest_version": newest}
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def test_connection(self, **connection: Any) -> tuple[bool, str]:
        """What the form's test button shows: worked or not, and the message."""
        reply = self.call("POST", "/connections/test", json=connection)
        return bool(reply["status"]), str(reply["message"])

    def _task_path(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}"

    def _log_in(self) -> None:
        self._session.headers.pop("Authorization", None)
        address = f"{self.url}/auth/token"
        reply = (
            self._session.post(address, json=self._login, timeout=30)
            if self._login
            else self._session.get(address, timeout=30)
        )
        if reply.status_code != 201:
            raise RuntimeError(f"Airflow at {self.url} refused the log-in with {reply.status_code}: {reply.text[:500]}")
        self._session.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
