"""How a container gets its environment: the archive is unpacked once per node by `tar`, beside the localised file. Pure.

YARN unpacks archives too, and then sets the permission of each file; where Hadoop's native library is missing it starts
a process for each: 14 s for 3,000 files that `tar` unpacks in one (docs/environments.md). So the archive is localised as
one plain file, and the first container of a node unpacks it:

- YARN gives each localised file a numbered folder of its own and deletes that folder as a whole when no container uses
  the file and the space is wanted. What is unpacked there lives and dies with it.
- The unpacked folder gets its name by renaming when it is complete: a container that is killed, or a full disk, leaves
  nothing that another would use. A lock only saves the others the work; the kernel frees it with its process.
- Where the folder cannot be written to, the container unpacks in its own working folder.

Not for ZIP files (nodes may lack `unzip`), Docker (YARN's folders are read-only there) and PUBLIC files (they belong to
the NodeManager): these stay YARN's.
"""

from __future__ import annotations

import shlex

from knit_core.model.binaries import MACHINES, NEEDS
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


def check_lines(environment: EnvironmentRef) -> list[str]:
    """Lines of bash that compare the environment with the node it came to; they need CONDA_PREFIX.

    YARN's interfaces tell neither a node's processor nor its C library, so the container says it, in one sentence.
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
  echo "knit: the environment could not be unpacked on $(uname -n) in $knit_folder; what tar said is above." \\
    "The disk there: $(df -Ph "$knit_folder" | tail -n 1)" >&2
  exit 127
fi
ln -sfn "$knit_folder/knit-unpacked" {ENVIRONMENT_LINK}
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
    "take older builds of its packages, or newer nodes" >&2
  exit 126
fi
"""
