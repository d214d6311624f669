"""A launch, from the specification to an application that YARN has accepted. Each step documents what a crash leaves.

    find_earlier → query_cluster → build_environments → check_launch → make_plan → stage → take_claim → submit → wait_accepted

`Launch.hook` is called before each step with the step's name: the fault tests end the process there. A launch without a
key skips the steps of the ledger.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from knit_core.errors import ApplicationNotFound, ConnectionFailed, KnitError, LedgerError
from knit_core.hadoop import lifecycle
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.delegation_tokens import tokens_for
from knit_core.hdfs_cache.staging import Progress, container_zip, master_jar
from knit_core.launch.build_environments import build_environments, without_described
from knit_core.launch.check_launch import check_launch
from knit_core.launch.cluster_query import check_version, query_cluster
from knit_core.launch.ledger import Claim, Step, decide
from knit_core.launch.plan import DOCUMENT_LINK, LaunchPlan, make_plan
from knit_core.launch.storage import LaunchStorage
from knit_core.launch.submission import set_lifetime, submit, wait_accepted
from knit_core.model.cluster_facts import ClusterFacts, FileStatus
from knit_core.model.states import Outcome
from knit_core.model.units import counted, show_bytes
from knit_core.model.upload import Upload
from knit_core.spec import ApplicationSpec

log = logging.getLogger(__name__)
_CLAIMS = 10  # attempts to claim the key: other callers may be faster


@dataclass(frozen=True)
class Launch:
    """One launch of one specification.

    Attributes:
        cluster: the connections.
        storage: the staging folder and the launch records.
        spec: what to run.
        create_env: builds an environment that the specification describes (`Knit.create_env`).
        key: launch key; None: a launch without exactly-once.
        progress: called with one line per step.
        checks: whether preflight checks queue and sizes.
        upload_progress: called with name, bytes sent, bytes in all.
        hook: called before each step.
    """

    cluster: Cluster
    storage: LaunchStorage
    spec: ApplicationSpec
    create_env: Callable[..., Any]
    key: str | None = None
    progress: Callable[[str], None] | None = None
    checks: bool = True
    upload_progress: Progress | None = None
    hook: Callable[[str], None] | None = None

    def notify(self, line: str) -> None:
        """Log one line about a step, and pass it to `progress`."""
        log.info("%s", line)
        if self.progress:
            self.progress(line)

    def before(self, step: str) -> None:
        """Log the step that begins, and call `hook`."""
        log.debug("launch: %s", step)
        if self.hook:
            self.hook(step)

    @property
    def tags(self) -> tuple[str, ...]:
        """Knit's own tags of the application."""
        if self.key is None:
            return ("knit",)
        return "knit", f"knit-key-{self.storage.ledger.folder(self.key).rpartition('/')[2][:40]}"


@dataclass(frozen=True)
class Prepared:
    """A specification with built environments that has passed all checks.

    Attributes:
        spec: the specification.
        facts: about the cluster.
        files: an Upload for each local path that the specification names.
    """

    spec: ApplicationSpec
    facts: ClusterFacts
    files: Mapping[str, Upload]


def launch(it: Launch) -> str:
    """Launch, or find the application of an earlier launch with the same key; returns the application id.

    Raises:
        SpecError, PreflightError, QueueRefused: before anything was uploaded or submitted.
        EnvironmentFailed: an environment of the specification cannot be built.
        StagingError: a file could not be uploaded to HDFS.
        LedgerError: another launch superseded this one, or the launch record cannot be read.
    """
    prepared: Prepared | None = None
    for _ in range(_CLAIMS):
        earlier, step = find_earlier(it)
        if step is Step.ATTACH and earlier is not None:
            it.notify(f"application {earlier.app_id} of an earlier launch with this key")
            it.before("lifetime")
            set_lifetime(it.cluster, it.spec, earlier.app_id, it.notify, again=True)
            return earlier.app_id
        prepared = prepared or prepare(it)
        plan = plan_for(it, prepared, earlier.app_id if earlier is not None and step is Step.SUBMIT else None)
        staged = stage(it, plan)
        claim = earlier if step is Step.SUBMIT else take_claim(it, earlier, plan.app_id)
        if claim is not None or it.key is None:
            submit_claimed(it, complete(it, plan, staged), claim)
            return plan.app_id
    raise LedgerError(
        f"{_CLAIMS} other processes claimed the launch key before this one: {it.storage.ledger.folder(it.key or '')}"
    )


def plan_only(it: Launch) -> LaunchPlan:
    """The plan that `launch` would carry out; changes nothing on the cluster.

    Raises:
        SpecError, PreflightError, QueueRefused, EnvironmentFailed: as `launch`.
    """
    return plan_for(it, prepare(it), None)


# -- the steps, in their order -------------------------------------------------


def find_earlier(it: Launch) -> tuple[Claim | None, Step]:
    """The newest claim of the key, and the next step. Ends the application of a superseded claim, so that it does not
    run at the same time as its successor."""
    try:
        claim = it.storage.ledger.newest(it.key) if it.key is not None else None
    except ConnectionFailed:
        check_version(it.cluster.resourcemanager)  # WebHDFS of Hadoop 2 has another port
        raise
    if claim is None:
        return None, Step.CLAIM
    if claim.superseded:
        lifecycle.end(it.cluster, claim.app_id, "superseded by a newer launch")
        return claim, Step.CLAIM
    return claim, decide(claim, *_state_of(it.cluster, claim.app_id))


def prepare(it: Launch) -> Prepared:
    """Query the cluster, build environments, check. A crash leaves environments in the local cache."""
    it.before("preflight")
    facts = query_cluster(it.cluster, it.spec, it.notify, checks=it.checks)
    rest = without_described(it.spec)
    if rest is not None and it.checks:  # a build may take minutes: report other problems first
        check_launch(it.cluster, it.storage.staging, rest, facts, it.tags)
    spec = build_environments(it.spec, it.create_env, it.progress)
    files = check_launch(it.cluster, it.storage.staging, spec, facts, it.tags, it.notify, checks=it.checks)
    return Prepared(spec, facts, files)


def plan_for(it: Launch, prepared: Prepared, app_id: str | None) -> LaunchPlan:
    """The plan, with the id of an earlier claim or, if `app_id` is None, the new one."""
    facts = prepared.facts
    if app_id is not None:
        facts = replace(facts, new=replace(facts.new, id=app_id))
    return make_plan(
        prepared.spec, facts, jar=master_jar(), container_zip=container_zip(), files=prepared.files, tags=it.tags
    )


def stage(it: Launch, plan: LaunchPlan) -> dict[str, FileStatus]:
    """Upload the plan's files; status by HDFS path. A crash leaves complete cache entries, which the next launch uses."""
    it.before("stage")
    it.storage.staging.reserve(plan.app_id, plan.uploads, plan.remotes)
    staged, missing = it.storage.staging.find(plan.uploads, plan.remotes)
    if missing:
        size = show_bytes(sum(upload.size for upload in missing))
        it.notify(f"upload {counted(len(missing), 'file')}, {size}, to {it.storage.staging.folder}/cache")
        staged.update(it.storage.staging.put(missing, it.upload_progress))
    return staged


def take_claim(it: Launch, earlier: Claim | None, app_id: str) -> Claim | None:
    """Claim the key for this application; None without a key, or if another caller has claimed it.

    A crash after this step leaves a claim without an application: the next launch with the key submits the same id.
    """
    if it.key is None:
        return None
    it.before("claim")
    return it.storage.ledger.claim(it.key, earlier.number + 1 if earlier else 1, app_id)


def complete(it: Launch, plan: LaunchPlan, staged: Mapping[str, FileStatus]) -> dict[str, Any]:
    """Upload the ApplicationMaster's document; returns the body of the submission."""
    it.before("document")
    document, cluster = Upload.of(DOCUMENT_LINK, plan.document(staged)), it.cluster
    with ThreadPoolExecutor(2) as pool:
        tokens = None
        if not plan.facts.simple:
            tokens = pool.submit(tokens_for, cluster.config, cluster.hdfs, cluster.resourcemanager)
        secret = pool.submit(cluster.user_key.application_secret, plan.app_id, create=True)
        it.storage.staging.reserve(plan.app_id, [document])
        there, missing = it.storage.staging.find([document], [])
        staged = {**staged, **(there if not missing else it.storage.staging.put(missing))}
        return plan.submission(staged, document, secret.result(), tokens.result() if tokens else None)


def submit_claimed(it: Launch, body: Mapping[str, Any], claim: Claim | None) -> None:
    """Submit, wait until YARN has stored and accepted the application, and mark the claim.

    A crash before YARN has stored the application leaves a claim without an application. After a crash later on, the
    application is found by its id at the ResourceManager, by its own files on HDFS, or by the claim's marker.
    """
    app_id = str(body["application-id"])
    if claim is not None:
        _check_not_superseded(it, claim)
    it.before("submit")
    try:
        submit(it.cluster, body, it.notify, shared=claim is not None)
        it.before("settle")
        stored = wait_accepted(it.cluster, body, it.notify)
        it.before("accepted")
        if claim is not None:
            _mark_accepted(it, claim, stored)
        it.before("lifetime")
        set_lifetime(it.cluster, it.spec, app_id, it.notify)
    except (KeyboardInterrupt, SystemExit):
        if claim is None:  # its caller does not get the id, so could not end it
            with contextlib.suppress(KnitError):
                it.cluster.resourcemanager.kill(app_id, "its launch was interrupted")
        raise


# -- the ledger ----------------------------------------------------------------


def _mark_accepted(it: Launch, claim: Claim, stored: bool) -> None:
    assert it.key is not None
    if stored and not claim.accepted:
        it.storage.ledger.mark_accepted(it.key, claim)
    try:
        _check_not_superseded(it, claim)
    except LedgerError:
        it.cluster.resourcemanager.kill(claim.app_id, "superseded by a newer launch")
        raise


def _check_not_superseded(it: Launch, claim: Claim) -> None:
    """Raise LedgerError if another caller has superseded this claim: its application must not run."""
    newest = it.storage.ledger.newest(it.key or "")
    if newest is None or newest.nonce != claim.nonce or newest.superseded:
        raise LedgerError(
            f"The launch of {claim.app_id} was superseded by a newer one ({newest.app_id if newest else 'gone'})"
        )


def _state_of(cluster: Cluster, app_id: str) -> tuple[bool, Outcome | None, bool]:
    """Of a claim's application: whether the ResourceManager knows it, its outcome, whether it left files of its own."""
    try:
        report = cluster.resourcemanager.app(app_id)
    except ApplicationNotFound:
        result = lifecycle.read_result(cluster, app_id)
        if result is not None:
            return False, result.outcome, True
        return False, None, cluster.hdfs.status(f"{cluster.application_folder(app_id)}/master") is not None
    if not report.ended:
        return True, None, True
    return True, lifecycle.final_result(cluster, app_id, report).outcome, True


__all__ = ["Launch", "launch", "plan_only"]
