"""Unpacking of a container's environment: `tar` unpacks the archive once per node, beside the localised file. Pure.

YARN can unpack archives, but then sets the permission of each file. Without Hadoop's native library it starts a process
for each file: 14 s for 3,000 files; `tar` is one process (docs/environments.md). So the archive is localised
as a plain file, and the first container on a node unpacks it:

- YARN gives each localised file a numbered folder of its own. It deletes that folder, with the unpacked files in it, when
  no container uses the file and the space is needed.
- The unpacked folder is renamed to its final name when it is complete: a killed container or a full disk leaves no
  incomplete folder under that name. The lock only avoids that two containers unpack at once; the kernel releases it when
  its process ends.
- If the folder is not writable, the container unpacks into its own working folder.

YARN unpacks ZIP files (nodes may lack `unzip`), Docker containers' archives (YARN's folders are read-only there) and
PUBLIC files (they belong to the NodeManager).
"""

from __future__ import annotations

import shlex

from knit_core.model.environment import MACHINES, NEEDS
from knit_core.spec import EnvironmentRef, Service

ENVIRONMENT_LINK = "environment"
PACKED_LINK = "knit-environment"

_TAR = (".tar.gz", ".tgz", ".tar")


def unpacked_by_container(service: Service) -> bool:
    """Whether the first container of a node unpacks the environment, instead of YARN."""
    environment = service.environment
    return (
        environment is not None
        and environment.kind == "archive"
        and service.docker is None
        and environment.archive.lower().endswith(_TAR)
    )


def unpack_lines() -> list[str]:
    """Lines of bash that make the link `environment` from the localised archive `knit-environment`."""
    return _UNPACK.splitlines()


def inner_folder_lines() -> list[str]:
    """Lines of bash for an archive whose files are all in one folder (`env/bin/python`): CONDA_PREFIX becomes that folder."""
    return _INNER.splitlines()


def check_lines(environment: EnvironmentRef) -> list[str]:
    """Lines of bash that compare the environment with the node's processor and C library; they need CONDA_PREFIX.

    YARN's interfaces report neither, so the container checks both and prints one line when they do not fit.
    """
    named = shlex.quote(environment.name or environment.archive.rpartition("/")[2])
    machine = shlex.quote(MACHINES.get(environment.platform, ""))
    return [f"knit_name={named} knit_machine={machine} knit_glibc=", *_CHECK.splitlines()]


_UNPACK = f"""\
knit_unpack() (  # folder, archive
  umask 022
  exec 9>"$1/knit-unpack.lock" || exit 1
  if flock -x 9 2>/dev/null; then
    [ -d "$1/knit-unpacked" ] && exit 0
    rm -rf "$1"/knit-unpacking.*  # of containers that were killed
  fi
  fresh=$1/knit-unpacking.$$.${{CONTAINER_ID:-0}}
  mkdir "$fresh" && tar -xof "$2" -C "$fresh" 9>&- && find "$fresh" -type f -exec chmod a-w {{}} + &&
    mv -T "$fresh" "$1/knit-unpacked" 2>/dev/null
  rm -rf "$fresh"
  [ -d "$1/knit-unpacked" ]
)
knit_file=$(readlink -f {PACKED_LINK})
knit_folder=${{knit_file%/*}}
case ${{knit_folder##*/}} in
  *[!0-9]*) knit_folder=$PWD ;;  # not a folder that YARN deletes with the file
  *) [ -w "$knit_folder" ] || [ -d "$knit_folder/knit-unpacked" ] || knit_folder=$PWD ;;
esac
if [ ! -d "$knit_folder/knit-unpacked" ] && ! knit_unpack "$knit_folder" "$knit_file"; then
  echo "knit: the environment could not be unpacked on $(uname -n) in $knit_folder; tar's error is above." \\
    "The disk there: $(df -Ph "$knit_folder" | tail -n 1)" >&2
  exit 127
fi
ln -sfn "$knit_folder/knit-unpacked" {ENVIRONMENT_LINK}
"""

_INNER = """\
if [ ! -x "$CONDA_PREFIX/bin/python" ]; then
  set -- "$CONDA_PREFIX"/*/bin/python
  [ $# -ne 1 ] || [ ! -x "$1" ] || CONDA_PREFIX=${1%/bin/python}
  set --
fi
"""

_CHECK = f"""\
if [ -r "$CONDA_PREFIX/{NEEDS}" ]; then read -r knit_machine knit_glibc < "$CONDA_PREFIX/{NEEDS}"; fi
if [ -n "$knit_machine" ] && [ "$(uname -m)" != "$knit_machine" ]; then
  echo "knit: the environment $knit_name is for $knit_machine processors and the node $(uname -n) has $(uname -m):" \\
    "build it with platform= for this kind of node, or choose nodes by a label" >&2
  exit 126
fi
knit_node_glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
knit_node_glibc=${{knit_node_glibc#glibc }}
if [ -n "$knit_glibc" ] && [ -n "$knit_node_glibc" ] &&
  ! printf '%s\\n' "$knit_glibc" "$knit_node_glibc" | sort -V -C; then
  echo "knit: the environment $knit_name needs glibc $knit_glibc and the node $(uname -n) has $knit_node_glibc:" \\
    "use older builds of its packages, or newer nodes" >&2
  exit 126
fi
"""
