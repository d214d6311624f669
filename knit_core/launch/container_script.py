"""The bash script that a container runs. Pure, and the only place where a user's text is quoted for a shell.

All user input is in this script, quoted. None of it is in YARN's environment map or command line, where `$`, backquotes,
`{{…}}` and `<LOG_DIR>` would be expanded (and shown in launch_container.sh in the aggregated logs).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from knit_core.launch.environment_unpacking import (
    ENVIRONMENT_LINK,
    PACKED_LINK,
    check_lines,
    inner_folder_lines,
    unpack_lines,
    unpacked_by_container,
)
from knit_core.spec import Readiness, Service
from knit_core.spec.files import FileType

CONTAINER_ZIP = "knit-container.zip"
CA_LINK = "knit-ca.pem"
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
# Names that are safe in the script that YARN writes (`ln -sf -- "…" "name"`: bash expands the name).
_YARN_NAME = re.compile(r"[A-Za-z0-9._+@=,-]+")


def script_name(service: str) -> str:
    """The link name of a service's script in the container."""
    return f"knit-{service}.sh"


def localised_names(service: Service, places: Mapping[str, str] | None = None, *, shared: bool = False) -> list[str]:
    """The link name that YARN gives each of a service's files in the container's folder.

    It is the file's own name if that is safe in YARN's script, else a generated name, which the container's script links
    to the file's own name. YARN's NodeManager makes only one link per file: a file with two names gets the first one
    twice here.

    Args:
        service: whose files.
        places: paths of local files on HDFS: two files with the same content have one path.
        shared: whether YARN unpacks the environment.
    """
    places = places or {}
    names: dict[tuple[str, FileType], str] = {}
    if service.environment is not None and service.environment.kind == "archive":
        archive = service.environment.archive
        packed = not shared and unpacked_by_container(service)
        kind, link = (FileType.FILE, PACKED_LINK) if packed else (FileType.ARCHIVE, ENVIRONMENT_LINK)
        names[places.get(archive, archive), kind] = link
    found = []
    for index, file in enumerate(service.files):
        source = file.source if file.remote else file.path
        own = file.link if _YARN_NAME.fullmatch(file.link) else f".knit-file-{index}"
        found.append(names.setdefault((places.get(source, source), file.yarn_type), own))
    return found


def container_script(
    service: Service, names: Sequence[str] | None = None, *, shared: bool = False, ca: str = ""
) -> str:
    """The whole script for one service.

    `python` is the environment's; CONDA_PREFIX and PYTHON_BIN are set; `knit_container` can be imported; Python does not
    buffer output (else live logs would lag); standard input is empty. The user's variables are set last and take
    precedence; `knit_container` is prepended to PYTHONPATH.

    Args:
        service: what the container runs.
        names: from `localised_names`.
        shared: whether YARN unpacks the environment.
        ca: certificates that verify HDFS's https address: `CA_LINK`; "false" for no verification; empty for the node's own.
    """
    lines = [
        "# Written by Knit: sets up the container's environment, then becomes the command.",
        "exec </dev/null",  # YARN's is a pipe that is never written to or closed: a read would block for ever
        "knit_bash=$BASH",  # the user's PATH may not contain it
        '[ -w "${HOME:-/}" ] || export HOME="$PWD"',  # YARN's default HOME=/home/ is not writable
        'export LANG="${LANG:-C.UTF-8}" PYTHONUNBUFFERED=1',
    ]
    for file, name in zip(service.files, names or localised_names(service), strict=True):
        if name != file.link:
            lines.append(f"ln -sfn -- {name} {_literal(file.link)} || exit 127")
    environment = service.environment
    if environment is not None:
        if not shared and unpacked_by_container(service):
            lines += unpack_lines()
        prefix = shlex.quote(environment.archive) if environment.kind == "path" else f'"$PWD/{ENVIRONMENT_LINK}"'
        lines += [
            f"export CONDA_PREFIX={prefix}",
            *([] if environment.kind == "path" else inner_folder_lines()),
            'export PYTHON_BIN="$CONDA_PREFIX/bin/python" PATH="$CONDA_PREFIX/bin:$PATH"',
            *check_lines(environment),
            # an incomplete environment is an error: no fallback to the node's Python
            'if [ ! -x "$PYTHON_BIN" ]; then',
            '  [ ! -L "$PYTHON_BIN" ] || knit_link=" is a link to $(readlink -m "$PYTHON_BIN"), which $(uname -n) does not have"',
            '  echo "knit: no python in the environment ($PYTHON_BIN${knit_link:-})" >&2',
            "  exit 127",
            "fi",
            # as `conda activate` does: the variables of packages, and the certificates for conda's OpenSSL
            'for knit_script in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do',
            '  [ -r "$knit_script" ] && . "$knit_script"',
            "done",
            'if [ -z "${SSL_CERT_FILE:-}" ] && [ -r "$CONDA_PREFIX/ssl/cacert.pem" ]; then',
            '  export SSL_CERT_FILE="$CONDA_PREFIX/ssl/cacert.pem"',
            "fi",
        ]
    if ca:
        lines.append("export KNIT_CA=false" if ca == "false" else f'export KNIT_CA="$PWD/{CA_LINK}"')
    for name, value in service.variables.items():
        lines.append(f"export {name}={_value(name, value)}")
    # After the user's variables, and as the first entry: `knit_container` must be found.
    lines.append(f'export PYTHONPATH="$PWD/{CONTAINER_ZIP}${{PYTHONPATH:+:$PYTHONPATH}}"')
    if service.readiness is not None and service.readiness.command is not None:
        lines += _readiness(service.readiness, service.readiness.command)
    lines.append(f'exec "$knit_bash" -c {_literal(service.command)}')
    return "\n".join(lines) + "\n"


def _readiness(check: Readiness, command: str) -> list[str]:
    """Lines that run the readiness command in the background until it succeeds. Its report to the ApplicationMaster is signed."""
    return [
        'knit_python="${PYTHON_BIN:-$(command -v python3 || command -v python)}"',
        'if [ -z "$knit_python" ]; then',
        '  echo "knit: the readiness command needs a Python in the container: give the service an environment" >&2',
        "  exit 127",
        "fi",
        f'"$knit_python" -m knit_container.readiness {check.interval} {check.timeout} {_literal(command)} &',
    ]


def _value(name: str, value: str) -> str:
    """A variable's value, quoted.

    References are expanded only if the value refers to the variable itself (PATH=/opt/x/bin:$PATH); in any other value
    `$` is literal.
    """
    found = list(_REFERENCE.finditer(value))
    if name not in {each[1] or each[2] for each in found}:
        return _literal(value)
    parts, at = [], 0
    for each in found:
        parts += [_literal(value[at : each.start()]), f'"${{{each[1] or each[2]}}}"']
        at = each.end()
    return "".join([*parts, _literal(value[at:])])


def _literal(text: str) -> str:
    """`text` quoted for bash; carriage returns and other control characters by `$'…'`, so that the script is printable."""
    if re.search(r"[\x01-\x08\x0b-\x1f\x7f]", text):
        escaped = "".join(
            f"\\x{ord(char):02x}" if ord(char) < 32 or ord(char) == 127 else ("\\" + char if char in "\\'" else char)
            for char in text
        )
        return f"$'{escaped}'"
    return shlex.quote(text)
