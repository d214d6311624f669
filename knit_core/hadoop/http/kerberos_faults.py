"""Faults of Kerberos in words, with the command that helps: from the codes of MIT's library, and from replies of Hadoop. Pure."""

from __future__ import annotations

from knit_core.errors import ConnectionFailed, KnitError, NotAuthorized

_BASE = -1765328384 + (1 << 32)  # KRB5KDC_ERR_NONE as an unsigned number (krb5.h: ERROR_TABLE_BASE_krb5)
_UNKNOWN_CLIENT, _UNKNOWN_SERVER = _BASE + 6, _BASE + 7
_LOCKED = {_BASE + 1, _BASE + 18, _BASE + 23}  # the account has expired or is locked, or its password has expired
_WRONG_KEY = {_BASE + 24, _BASE + 31}
_TICKET_EXPIRED, _SKEW = _BASE + 32, _BASE + 37
_NO_ENTRY, _NO_REALM, _NO_KDC, _REALM_UNRESOLVED = _BASE + 181, _BASE + 154, _BASE + 156, _BASE + 220
_NO_CACHE, _NO_CACHE_FILE, _NO_CONFIGURATION, _NO_DEFAULT_REALM = _BASE + 141, _BASE + 195, _BASE + 134, _BASE + 224
_MECHANISM = 39756032  # KG error table; + 12: "Credential cache is empty"
_NOT_THERE = {_NO_CACHE, _NO_CACHE_FILE, _MECHANISM + 12}


def ticket_fault(
    minor: int,
    text: str,
    *,
    missing: bool,
    expired: bool,
    address: str,
    host: str,
    source: str,
    principal: str,
    keytab: bool,
    worked: bool,
) -> KnitError:
    """The error for a fault of the client's library.

    Args:
        minor: the library's code.
        text: its message.
        missing: whether it says that there are no credentials at all.
        expired: whether it says that they are expired.
        address: of the server that asked for Kerberos.
        host: its host, as in the address.
        source: where the tickets come from ("the ticket cache FILE:/tmp/krb5cc_1000").
        principal: of the ticket or keytab; empty: not known.
        keytab: whether they come from a keytab, which needs no kinit.
        worked: whether the tickets were good before, in this process: then new ones may come soon.
    """
    minor &= (1 << 32) - 1
    who = principal or "the principal"
    again = "knit renews from the keytab itself: see the fault before" if keytab else "get a new one: kinit"
    words = ""
    if minor in (_NO_KDC, _REALM_UNRESOLVED):
        return ConnectionFailed(
            f"no KDC of the realm answers ({text}): is one running, is there a firewall, are the addresses in krb5.conf "
            f"right? {address} was not asked",
            address=address, before_sending=True,
        )  # fmt: skip
    if expired or minor == _TICKET_EXPIRED:
        whose = f" of {principal}" if principal else ""
        words = f"the Kerberos ticket{whose} in {source} has expired: {again}"
        if worked:
            return ConnectionFailed(words, address=address, before_sending=True)
    elif minor == _UNKNOWN_SERVER:
        words = (
            f"the KDC has no service HTTP/{host} for {who}: address the server by the host name that it has in Kerberos "
            f"(not by an IP address or an alias; krb5.conf's dns_canonicalize_hostname decides whether aliases are resolved), "
            f"or ask the administrator whether the realm of {who} is trusted there; try: kvno HTTP/{host}"
        )
    elif minor == _SKEW:
        words = "the clocks of this machine and of the KDC differ by more than five minutes: set this machine's clock"
    elif minor == _UNKNOWN_CLIENT:
        words = f"the KDC does not know {who} ({source}): check its spelling and realm, and krb5.conf's default_realm"
    elif minor in _WRONG_KEY:
        words = f"{source} has an old or wrong key of {who}: was its password changed? Get a new keytab"
    elif minor in _LOCKED:
        words = f"the account of {who} is locked or has expired ({text}): ask the administrator of the realm"
    elif minor == _NO_ENTRY or (keytab and minor in _NOT_THERE):
        words = f"{source} has no key of {who}: list what it has with klist -k"
    elif minor in (_NO_REALM, _NO_DEFAULT_REALM, _NO_CONFIGURATION):
        words = f"krb5.conf does not say where the KDC is ({text}): /etc/krb5.conf, or the file in KRB5_CONFIG"
    elif missing or minor in _NOT_THERE:
        words = f"there is no Kerberos ticket in {source}: run kinit, or set keytab and principal (KNIT_KEYTAB, KNIT_PRINCIPAL)"
    else:
        words = f"Kerberos refuses ({text}; tickets from {source})"
    return NotAuthorized(f"{words} ({address} asks for Kerberos)", status=401, address=address)


#: What Hadoop's servers reply with 401 or 403 when they refuse a ticket, and what it means.
_REPLIES = (
    ("Clock skew too great", "the clocks of this machine and of the server differ by more than five minutes"),
    ("Request is a replay", "the server has seen this ticket's request before: try again"),
    ("Cannot find key of appropriate type", "the server's keytab does not fit its principal: an administrator must renew it"),
    ("Checksum failed", "the server's keytab is older than its key: an administrator must renew it"),
    ("Invalid argument (400) - Cannot find key", "the server's keytab lacks a key for this host name"),
    ("Encryption type", "client and server have no encryption type in common (permitted_enctypes in krb5.conf)"),
    ("No rules applied to", "the cluster's hadoop.security.auth_to_local has no rule for the realm of this principal"),
    ("Defective token", "the server takes another ticket than that of its address: use the host name that it has in Kerberos"),
)  # fmt: skip


def reply_hint(message: str) -> str:
    """What a server's refusal of a ticket means; empty when it is not one of those known.

    Args:
        message: the text of a reply with status 401 or 403.
    """
    return next((words for part, words in _REPLIES if part in message), "")


MISSING_PACKAGE = (
    "{address} asks for Kerberos, which needs the package requests-gssapi: pip install 'knit-yarn[kerberos]'. It is compiled "
    "on installation and needs a compiler and the headers of Kerberos and Python (Debian: apt-get install gcc libkrb5-dev "
    "python3-dev; Red Hat: dnf install gcc krb5-devel python3-devel)"
)
