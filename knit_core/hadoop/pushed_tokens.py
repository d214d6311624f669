"""Newer delegation tokens for a running application, which may outlive those of its launch.

The client writes them to `<application's folder>/tokens` on HDFS, mode 600: only HDFS carries their secrets. Then it tells the
ApplicationMaster by a signed call without secrets.
"""

from __future__ import annotations

from collections.abc import Mapping

from knit_container.credentials import Token, credentials_file
from knit_core.config import Config
from knit_core.errors import ApplicationNotFound, KnitError, MasterUnreachable, NotAuthorized, NotFound, RequestRefused
from knit_core.hadoop.application_master import ApplicationMasterClient
from knit_core.hadoop.cluster import Cluster
from knit_core.hadoop.delegation_tokens import HDFS_KIND, RESOURCEMANAGER_KIND, tokens_for
from knit_core.hadoop.ownership import is_mine
from knit_core.model.report import ApplicationReport
from knit_core.model.token_status import TokenPush, TokenStatus

FILE = "tokens"
_PROPERTIES = {
    HDFS_KIND: "dfs.namenode.delegation.token.",
    RESOURCEMANAGER_KIND: "yarn.resourcemanager.delegation.token.",
}
_DAY = 86_400_000  # milliseconds
_ENDED = ("InvalidToken", "is expired", "can't be found in cache")


def push_tokens(
    cluster: Cluster, master: ApplicationMasterClient, report: ApplicationReport, *, force: bool = False
) -> TokenPush:
    """Fetch delegation tokens, as for a launch, and give them to a running application.

    YARN renews the tokens of the launch until the end of their maximum life, but not pushed ones. So a new token is pushed only
    when it is valid for longer than the present one, or when that is not known.

    Args:
        cluster: where it runs.
        master: its ApplicationMaster's API.
        report: the ResourceManager's report of it.
        force: push all tokens.

    Raises:
        NotAuthorized: it belongs to another user.
        RequestRefused: it has ended, or its ApplicationMaster cannot use the tokens.
        KnitError: the cluster uses no tokens, or a service refuses or does not answer.
    """
    app_id, config = report.id, cluster.config
    _check_kerberos(config)
    if report.ended:
        raise RequestRefused(f"{app_id} has ended ({report.outcome}): it needs no tokens", status=409)
    if not is_mine(cluster.hdfs, report.user):
        raise NotAuthorized(
            f"{app_id} belongs to {report.user}, and delegation tokens of {config.user} are no use to it", status=403
        )
    cluster.check_staging()
    fetched = tokens_for(config, cluster.hdfs, cluster.resourcemanager)
    present, problem = _present(config, master, fetched, report.started_at or int(cluster.clock.time() * 1000))
    tokens = {alias: token for alias, token in fetched.items() if force or _is_longer(_status(config, token), present)}
    if not tokens:
        return TokenPush(present, False, not problem, problem)
    folder = cluster.application_folder(app_id)
    cluster.hdfs.mkdirs(folder, "700")
    cluster.hdfs.replace(f"{folder}/{FILE}", credentials_file(tokens), permission="600")
    try:
        reply = master.put("/tokens", {})
    except MasterUnreachable as error:
        return TokenPush(
            tuple(_status(config, token) for token in tokens.values()), True, False, "; ".join(error.stages)
        )
    except RequestRefused as error:
        raise _explained(error) from None
    found = TokenPush(_parse(config, reply), True, True)
    _check_taken(app_id, tokens, found)
    return found


def read_tokens(cluster: Cluster, master: ApplicationMasterClient) -> list[TokenStatus]:
    """The delegation tokens that an application has now.

    Args:
        cluster: where it runs.
        master: its ApplicationMaster's API.

    Raises:
        MasterUnreachable: it does not run.
        KnitError: the cluster uses no tokens.
    """
    _check_kerberos(cluster.config)
    return list(_read(cluster.config, master))


def _check_kerberos(config: Config) -> None:
    if config.cluster_property("hadoop.security.authentication", "simple") == "simple":
        raise KnitError(
            "The cluster uses simple authentication (hadoop.security.authentication), so applications have no delegation tokens"
        )


def _read(config: Config, master: ApplicationMasterClient) -> tuple[TokenStatus, ...]:
    try:
        return _parse(config, master.get("/tokens"))
    except ApplicationNotFound:
        raise
    except NotFound:
        raise RequestRefused(
            f"{master.app_id} was launched by an earlier version of Knit, whose ApplicationMaster takes no newer tokens",
            status=404,
        ) from None


def _present(
    config: Config, master: ApplicationMasterClient, fetched: Mapping[str, Token], started: int
) -> tuple[tuple[TokenStatus, ...], str]:
    """The application's tokens, and why its ApplicationMaster cannot be reached; then they are those of its launch, by estimate."""
    try:
        return _read(config, master), ""
    except MasterUnreachable as error:
        known = [token for token in fetched.values() if token.kind in _PROPERTIES]
        ends = [started + (_milliseconds(config, token.kind, "max-lifetime", 7 * _DAY) or 0) for token in known]
        rows = zip(known, ends, strict=True)
        return tuple(TokenStatus(t.kind, t.service, False, started, end, end) for t, end in rows), "; ".join(
            error.stages
        )


def _is_longer(new: TokenStatus, present: tuple[TokenStatus, ...]) -> bool:
    """Whether the token is valid for longer than the present one of its kind and service, as far as that is known."""
    same = [token.valid_until for token in present if (token.kind, token.service) == (new.kind, new.service)]
    return not same or new.valid_until is None or any(until is None or until < new.valid_until for until in same)


def _parse(config: Config, reply: Mapping[str, list[Mapping[str, object]]]) -> tuple[TokenStatus, ...]:
    return tuple(TokenStatus.parse(row, _renew_interval(config, str(row["kind"]))) for row in reply["tokens"])


def _status(config: Config, token: Token) -> TokenStatus:
    row = {"kind": token.kind, "service": token.service, "issued": token.issued, "ends": token.ends, "pushed": True}
    return TokenStatus.parse(row, _renew_interval(config, token.kind))


def _renew_interval(config: Config, kind: str) -> int | None:
    return _milliseconds(config, kind, "renew-interval", _DAY)


def _milliseconds(config: Config, kind: str, name: str, default: int) -> int | None:
    text = config.cluster_property(f"{_PROPERTIES[kind]}{name}", str(default)) if kind in _PROPERTIES else ""
    return int(text) if text.isdigit() else None


def _check_taken(app_id: str, tokens: Mapping[str, Token], found: TokenPush) -> None:
    present = {(token.kind, token.service): token.issued or 0 for token in found.tokens}
    missing = [t for t in tokens.values() if present.get((t.kind, t.service), -1) < (t.issued or 0)]
    if missing:
        names = ", ".join(sorted(f"{token.kind} for {token.service or 'any server'}" for token in missing))
        raise RequestRefused(
            f"The ApplicationMaster of {app_id} did not take these tokens: {names}. Compare its clock with that of the "
            "services; its log says more (knit logs --container master).",
            status=409,
        )


def _explained(error: RequestRefused) -> RequestRefused:
    hint = ""
    if any(text in str(error) for text in _ENDED):
        hint = ". Its present tokens have ended, so it cannot read newer ones: end it and launch it again"
    return type(error)(f"{error}{hint}", status=error.status, reply=error.reply)


__all__ = ["push_tokens", "read_tokens"]
