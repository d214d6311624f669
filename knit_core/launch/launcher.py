"""Launching: preflight, plan, staging, claim, submission, in this order; what happens at a crash stands with each step.

A launch without a key is the same without the ledger. `Launcher.hook` is called before each step with the step's
name: the fault tests end the process there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from knit_core import preflight
from knit_core.errors import (
    ApplicationNotFound,
    ConnectionFailed,
    KnitError,
    LedgerError,
    NotAuthorized,
    PreflightError,
    QueueRefused,
    RequestRefused,
    ServiceUnavailable,
    StagingError,
)
from knit_core.hadoop.resource_manager import UNLIMITED, ResourceManager
from knit_core.hdfs_cache.staging import Staging, archives_of, container_zip, gather, inspect, master_jar
from knit_core.launch import archive_checks as archives
from knit_core.launch.cluster_query import ask_cluster, await_nodes
from knit_core.launch.ledger import Claim, Ledger, Step, decide
from knit_core.launch.plan import DOCUMENT_LINK, LaunchPlan, make_plan
from knit_core.model.cluster_facts import FileStatus
from knit_core.model.report import Report
from knit_core.model.states import Outcome, State
from knit_core.model.upload import Upload
from knit_core.spec import ApplicationSpec

if TYPE_CHECKING:
    from knit_core.client import Knit

Tell = Callable[[str], None]
_SETTLE = 3.0  # seconds in which a submission that YARN refuses late (queue, ACL) shows it
_SUBMIT_BUDGET, _SUBMIT_TRIES = 60.0, 2  # seconds, and at least so often: one try may take longer
_LIFETIME_MARGIN = 60.0  # seconds that the ApplicationMaster has for an orderly end before YARN ends the application


@dataclass
class Launcher:
    """One launch of one spec.

    Attributes:
        knit: the client.
        spec: what to run.
        key: launch key; None: a launch without exactly-once.
        tell: gets one line per step for people.
        checks: whether preflight looks at queue and sizes.
        hook: called before each step.
    """

    knit: Knit
    spec: ApplicationSpec
    key: str | None = None
    tell: Tell | None = None
    checks: bool = True
    hook: Callable[[str], None] | None = None

    def run(self) -> str:
        """Launch, or attach under a key; the application id."""
        if self.key is None:
            plan, staged = self._prepare(None)
            return self._submit(plan, staged, None)
        for _ in range(10):
            claim = self._ledger.newest(self.key)
            step = decide(claim, *self._state_of(claim))
            if step is Step.ATTACH and claim is not None:
                self._say(f"application {claim.app_id} of an earlier launch with this key")
                self._limit(claim.app_id, again=True)
                return claim.app_id
            if step is Step.SUBMIT and claim is not None:
                plan, staged = self._prepare(claim.app_id)
                return self._submit(plan, staged, claim)
            self._end_superseded(claim)
            plan, staged = self._prepare(None)
            self._before("claim")
            mine = self._ledger.claim(self.key, claim.number + 1 if claim else 1, plan.app_id)
            if mine is not None:
                return self._submit(plan, staged, mine)
        raise LedgerError(
            f"Ten others claimed the launch key before this process could: {self._ledger.folder(self.key)}"
        )

    def plan(self) -> LaunchPlan:
        """What `run` would do; nothing is changed on the cluster."""
        return self._planned(None)

    # -- steps -------------------------------------------------------------

    def _prepare(self, app_id: str | None) -> tuple[LaunchPlan, dict[str, FileStatus]]:
        """Preflight, plan, staging. A crash leaves at most complete cache entries, which the next launch uses."""
        self._before("preflight")
        plan = self._planned(app_id)
        self._before("stage")
        staging = self._staging
        staging.reserve(plan.app_id, plan.uploads, plan.remotes)
        staged, missing = staging.look(plan.uploads, plan.remotes)
        if missing:
            from knit_core.model.units import counted, show_bytes

            size = sum(upload.size for upload in missing)
            self._say(f"upload {counted(len(missing), 'file')}, {show_bytes(size)}, to {staging.folder}/cache")
            staged.update(staging.put(missing, self.knit.upload_progress))
        return plan, staged

    def _planned(self, app_id: str | None) -> LaunchPlan:
        jar, zipped = master_jar(), container_zip()
        rm = self.knit.resourcemanager
        facts = ask_cluster(rm, self.knit.config, self.spec, app_id=app_id, checks=self.checks)
        if facts.totals is not None and not facts.totals.nodes and await_nodes(rm, self._say, self.knit.clock):
            facts = ask_cluster(rm, self.knit.config, self.spec, app_id=app_id, checks=self.checks)
        files, problems = gather(self.spec, facts.filesystem)
        files = self._staging.place(files, self.spec)
        problems += _platform_problems(self.spec)
        problems += _take_ca(facts.ca, files)
        tags: tuple[str, ...] = ("knit",)
        if self.key is not None:
            tags += (f"knit-key-{self._ledger.folder(self.key).rpartition('/')[2][:40]}",)
        if self.checks:
            problems += self._archives(files)
            preflight.check(self.spec, facts, address=rm.address, local=tuple(problems), tags=tags)
            for remark in preflight.remarks(self.spec, facts, address=rm.address):
                self._say(f"warning: {remark}")
        elif problems:
            raise PreflightError(problems)
        return make_plan(self.spec, facts, jar=jar, container_zip=zipped, files=files, tags=tags)

    def _archives(self, files: Mapping[str, Upload]) -> list[str]:
        """What is wrong inside of local archives. One that lies in the cache was looked at when it came there."""
        found = []
        plain = {file.path for service in self.spec.services.values() for file in service.files}
        for upload in archives_of(self.spec, files):
            if self.knit.hdfs.status(upload.remote(self._staging.folder)) is None:
                found += archives.look(upload.path, environment=upload.path not in plain)
        return found

    def _submit(self, plan: LaunchPlan, staged: dict[str, FileStatus], claim: Claim | None) -> str:
        """Document, submission, marker.

        A crash before the 202 leaves a claim without an application: the next launch with the key submits the same id.
        A crash after it: the ResourceManager knows the id, or the application left traces, or the marker is there.
        """
        self._before("document")
        document = Upload.of(DOCUMENT_LINK, plan.document(staged))
        with ThreadPoolExecutor(2) as pool:
            secret = pool.submit(self.knit.user_key.application_secret, plan.app_id, create=True)
            self._staging.reserve(plan.app_id, [document])
            there, missing = self._staging.look([document], [])
            complete = {**staged, **(there if not missing else self._staging.put(missing))}
            body = plan.submission(complete, document, secret.result())
        if claim is not None and self.key is not None:
            self._still_wanted(claim)
        self._before("submit")
        try:
            self._submit_body(plan.app_id, body, claim)
        except (KeyboardInterrupt, SystemExit):
            if claim is None:  # its caller never learns the id, so nobody could end it
                with contextlib.suppress(KnitError):
                    self.knit.resourcemanager.kill(plan.app_id, "its launch was interrupted")
            raise
        return plan.app_id

    def _submit_body(self, app_id: str, body: dict[str, object], claim: Claim | None) -> None:
        self._post(body, shared=claim is not None)
        self._before("accepted")
        if claim is not None and self.key is not None:
            if not claim.accepted:
                self._ledger.mark_accepted(self.key, claim)
            try:
                self._still_wanted(claim)
            except LedgerError:
                self.knit.resourcemanager.kill(app_id, "superseded by a newer launch")
                raise
        self._before("settle")
        self._settle(app_id)
        self._limit(app_id)

    def _limit(self, app_id: str, *, again: bool = False) -> None:
        """Have YARN end the application, should its ApplicationMaster not do so (it ends it in good order, a little earlier).

        Doing it twice does no harm: the time is counted from the submission, by the ResourceManager's clock. A crash before
        it leaves that to the next launch with the key, which sets it only where nobody has set one.
        """
        if not self.spec.lifetime:
            return
        self._before("lifetime")
        rm = self.knit.resourcemanager
        try:
            report = rm.app(app_id)
            if report.ended or report.started_at is None or (again and rm.lifetime(app_id) != UNLIMITED):
                return
            grace = max(service.stop_grace for service in self.spec.services.values())
            rm.set_lifetime(app_id, report.started_at / 1000 + self.spec.lifetime + grace + _LIFETIME_MARGIN)
        except KnitError as error:  # the application runs, and its ApplicationMaster knows its lifetime
            self._say(f"warning: YARN was not told the lifetime, only the ApplicationMaster knows it: {error}")

    def _post(self, body: dict[str, object], *, shared: bool = False) -> None:
        """Submit, until it is sure: after a doubt only when the ResourceManager has said that it does not know the id.

        Args:
            shared: another process may have submitted this id already.
        """
        rm, app_id, clock = self.knit.resourcemanager, str(body["application-id"]), self.knit.clock
        deadline, pause, tries = clock.monotonic() + _SUBMIT_BUDGET, 0.3, 0
        while True:
            try:
                if tries and _known(rm, app_id):
                    return
                if shared and not tries:
                    rm.check_active(f"submit {app_id}")
                rm.submit(body)
                return
            except RequestRefused as error:
                # another process with the same claim submits it at this moment: both are done when YARN has it
                if "already present" in str(error) and _known(rm, app_id):
                    return
                raise
            except (ConnectionFailed, ServiceUnavailable) as error:
                tries += 1
                if clock.monotonic() > deadline and tries >= _SUBMIT_TRIES:
                    raise
                self._say(f"submission in doubt ({error}); trying again")
                clock.sleep(pause)
                pause = min(2 * pause, 5.0)

    def _settle(self, app_id: str) -> None:
        """YARN answers 202 to what it refuses a moment later: look until it is past that point."""
        rm, clock = self.knit.resourcemanager, self.knit.clock
        deadline = clock.monotonic() + _SETTLE
        while clock.monotonic() < deadline:
            try:
                report = rm.app(app_id)
            except (ConnectionFailed, ServiceUnavailable):
                return  # it was accepted; waiting has its own patience
            if report.state not in {State.NEW, State.NEW_SAVING, State.SUBMITTED}:
                self._refused(report)
                return
            clock.sleep(0.02)

    def _refused(self, report: Report) -> None:
        if report.state is not State.FAILED or report.attempt:
            return
        words = report.diagnostics
        text = f"YARN refused {report.id}: {words}"
        kind = RequestRefused
        if "AccessControlException" in words or "cannot submit" in words:
            kind = NotAuthorized
        elif "queue" in words.lower():
            kind = QueueRefused
        raise kind(text, address=self.knit.resourcemanager.address, action=f"submit {report.id}")

    # -- the ledger --------------------------------------------------------

    def _state_of(self, claim: Claim | None) -> tuple[bool, Outcome | None, bool]:
        """(known to the ResourceManager, outcome, traces of its own) of the claim's application."""
        if claim is None or claim.superseded:
            return False, None, False
        application = self.knit.attach(claim.app_id)
        try:
            report = application.report()
        except ApplicationNotFound:
            result = application._read_result()
            if result is not None:
                return False, result.outcome, True
            return False, None, self.knit.hdfs.status(f"{application.folder}/master") is not None
        if not report.ended:
            return True, None, True
        return True, application.conclude(report).outcome, True

    def _end_superseded(self, claim: Claim | None) -> None:
        """A superseded claim's application must not run beside its successor."""
        if claim is not None and claim.superseded:
            self.knit.attach(claim.app_id).kill("superseded by a newer launch")

    def _still_wanted(self, claim: Claim) -> None:
        """Somebody may have superseded this claim while this process slept: then it must not run."""
        newest = self._ledger.newest(self.key or "")
        if newest is None or newest.nonce != claim.nonce or newest.superseded:
            raise LedgerError(
                f"The launch of {claim.app_id} was superseded by a newer one ({newest.app_id if newest else 'gone'})"
            )

    # -- small -------------------------------------------------------------

    @property
    def _ledger(self) -> Ledger:
        return self.knit.ledger

    @property
    def _staging(self) -> Staging:
        return self.knit.staging

    def _say(self, line: str) -> None:
        if self.tell:
            self.tell(line)

    def _before(self, step: str) -> None:
        if self.hook:
            self.hook(step)


def _take_ca(ca: str, files: dict[str, Upload]) -> list[str]:
    """Adds the file of certificates that containers need; what is wrong with it."""
    if ca in {"", "false"}:
        return []
    if Path(ca).expanduser().is_dir():
        return [f"{ca} (KNIT_CA) is a folder: containers that write to HDFS by https need its certificates in one file"]
    try:
        files[ca] = inspect(ca)
    except StagingError as error:
        return [f"KNIT_CA: {error}"]
    return []


def _platform_problems(spec: ApplicationSpec) -> list[str]:
    """YARN's nodes run Linux: an environment for another system cannot work there."""
    return [
        f"{name}: the environment {service.environment.name or service.environment.archive} is for "
        f"{service.environment.platform}; the nodes need a linux platform (create_env(…, platform='linux-64'))"
        for name, service in spec.services.items()
        if service.environment
        and service.environment.platform
        and not service.environment.platform.startswith(("linux-", "noarch"))
    ]


def _known(rm: ResourceManager, app_id: str) -> bool:
    try:
        rm.app(app_id)
    except ApplicationNotFound:
        return False
    return True


__all__ = ["Launcher"]
