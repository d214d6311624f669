"""The bash script that a container runs. Pure, and the only place where a user's text is quoted for a shell.

Everything a user typed stands in this script, quoted; nothing of it passes through YARN's environment map or command
line, where `$`, backquotes, `{{…}}` and `<LOG_DIR>` would be expanded (and shown in the aggregated logs'
launch_container.sh).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from knit_core.launch.environment_unpacking import (
    ENVIRONMENT_LINK,
    PACKED_LINK,
    check_lines,
    unpack_lines,
    unpacked_by_container,
)
from knit_core.spec import Readiness, Service
from knit_core.spec.files import FileType

CONTAINER_ZIP = "knit-container.zip"
CA_LINK = "knit-ca.pem"
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
# Names that may stand in the script which YARN writes (`ln -sf -- "…" "name"`: bash expands there).
_YARN_NAME = re.compile(r"[A-Za-z0-9._+@=,-]+")


def script_name(service: str) -> str:
    """Its link name in the container."""
    return f"knit-{service}.sh"


def localised_names(service: Service, places: Mapping[str, str] | None = None, *, shared: bool = False) -> list[str]:
    """Under which name YARN is to put each of a service's files into the container's folder: its own, or where YARN's
    script would not survive that, another one, which our script links to the right one.

    Of one file that is wanted under two names, YARN's NodeManager links the last one only; so the second name is that of
    the first.

    Args:
        service: whose files.
        places: where local files lie on HDFS: two with one content have one place.
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
    """The whole script for one service; `names`: what `localised_names` gave.

    `python` is the environment's, CONDA_PREFIX and PYTHON_BIN are set, `knit_container` can be imported, output is
    not buffered by Python (live logs would lag otherwise), standard input is empty; the user's variables come last and so
    win, but for PYTHONPATH, which ours is put before. With `shared` YARN has unpacked the environment.
    `ca` says whom the container believes that HDFS's https server is HDFS: `CA_LINK`, "false": everybody, empty: the node's choice.
    """
    lines = [
        "# Written by Knit: sets up the container's environment, then becomes the command.",
        "exec </dev/null",  # YARN's is a pipe that nobody writes to or closes: whoever reads it would wait for ever
        "knit_bash=$BASH",  # the user's PATH may not lead to it
        '[ -w "${HOME:-/}" ] || export HOME="$PWD"',  # YARN's default HOME=/home/ is nobody's
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
            'export PYTHON_BIN="$CONDA_PREFIX/bin/python" PATH="$CONDA_PREFIX/bin:$PATH"',
            *check_lines(environment),
            # an environment that did not arrive whole should say so, not fall back to the node's Python
            'if [ ! -x "$PYTHON_BIN" ]; then',
            '  [ ! -L "$PYTHON_BIN" ] || knit_link=" is a link to $(readlink -m "$PYTHON_BIN"), which $(uname -n) does not have"',
            '  echo "knit: no python in the environment ($PYTHON_BIN${knit_link:-})" >&2',
            "  exit 127",
            "fi",
            # what `conda activate` would do: packages' own variables, and the certificates that OpenSSL of conda looks for
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
    # Last, before what anybody else has set: `knit_container` must be found.
    lines.append(f'export PYTHONPATH="$PWD/{CONTAINER_ZIP}${{PYTHONPATH:+:$PYTHONPATH}}"')
    if service.readiness is not None and service.readiness.command is not None:
        lines += _readiness(service.readiness, service.readiness.command)
    lines.append(f'exec "$knit_bash" -c {_literal(service.command)}')
    return "\n".join(lines) + "\n"


def _readiness(check: Readiness, command: str) -> list[str]:
    """Runs the readiness command beside the program until it succeeds; the report to the ApplicationMaster is signed."""
    return [
        'knit_python="${PYTHON_BIN:-$(command -v python3 || command -v python)}"',
        'if [ -z "$knit_python" ]; then',
        '  echo "knit: the readiness command needs a Python in the container: give the service an environment" >&2',
        "  exit 127",
        "fi",
        f'"$knit_python" -m knit_container.readiness {check.interval} {check.timeout} {_literal(command)} &',
    ]


def _value(name: str, value: str) -> str:
    """A variable's value, quoted. One that refers to the variable itself (PATH=/opt/x/bin:$PATH) is meant to be expanded,
    with all variables it refers to; in any other a `$` is a `$`."""
    found = list(_REFERENCE.finditer(value))
    if name not in {each[1] or each[2] for each in found}:
        return _literal(value)
    parts, at = [], 0
    for each in found:
        parts += [_literal(value[at : each.start()]), f'"${{{each[1] or each[2]}}}"']
        at = each.end()
    return "".join([*parts, _literal(value[at:])])


def _literal(text: str) -> str:
    """`text` quoted for bash; carriage returns and other controls by `$'…'`, so that the script stays readable text."""
    if re.search(r"[\x01-\x08\x0b-\x1f\x7f]", text):
        escaped = "".join(
            f"\\x{ord(char):02x}" if ord(char) < 32 or ord(char) == 127 else ("\\" + char if char in "\\'" else char)
            for char in text
        )
        return f"$'{escaped}'"
    return shlex.quote(text)
