"""Class data sharing: the part of the ApplicationMaster's command line that uses the archive of classes on its node.

An archive halves the processor time until an ApplicationMaster registers. ApplicationMasters write it (`ClassArchive.java`
documents the files). The command line tests whether the node has a valid archive; without one the JVM starts as usual.

Archives are code. So they are in a folder that only YARN and the user can write to: `<local>/usercache/<user>/knit`,
mode 700, in the first of the node's local folders. With the DefaultContainerExecutor, and with the LinuxContainerExecutor
without security, all users' containers run as one user of the operating system; there they can change one another's
archives, as they can change one another's localised jars.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

_FORMAT = 1
_LEAST_MEMORY = 256  # MiB; an ApplicationMaster that writes an archive has up to 210 MiB
# Options that may be given once only, and agents: with one, a JVM that is to record its classes does not start.
_OWN_OPTIONS = re.compile("Archive|Xshare|VMOptionsFile|@|-javaagent|-agentlib|-agentpath|-Xrun")


def split_classpath(classpath: str) -> tuple[list[str], list[str]]:
    """Split `yarn.application.classpath` into entries of jars (`*`, `.jar`) and folders of configuration.

    The class path of an archive must not contain folders.
    """
    entries = [part.strip() for part in classpath.split(",") if part.strip()]
    jars = [entry for entry in entries if entry.endswith(("*", ".jar"))]
    return jars, [entry for entry in entries if entry not in jars]


def can_share(java: str, memory: int) -> bool:
    """Whether an archive can be made: the Java command has no conflicting option, and the container has enough memory.

    Args:
        java: the command on the nodes.
        memory: MiB of the ApplicationMaster's container.
    """
    return memory >= _LEAST_MEMORY and not _OWN_OPTIONS.search(java)


def archive_name(jar: str, java: str, classpath: str) -> str:
    """The archive's name: a digest of everything known to the client that changes the archive's content.

    Args:
        jar: the SHA-256 of the ApplicationMaster's jar.
        java: the command on the nodes.
        classpath: of the cluster.
    """
    return hashlib.sha256(json.dumps([_FORMAT, jar, java, classpath]).encode()).hexdigest()[:16]


def sharing_options(name: str, jars: Sequence[str], folders: Sequence[str]) -> str:
    """The part of the command line that uses an archive, or records one, if the node has a file of options for it.

    YARN puts it into double quotes in a bash script, so it contains no double quotes. It contains no `{{` or `}}` either,
    which YARN replaces. The JVM reads the file of options; Java 8 ignores it. The part is placed directly before the main
    class, because the last `-cp` is the effective one.

    Args:
        name: see `archive_name`.
        jars: the class path's entries, the ApplicationMaster's jar first.
        folders: of configuration; the ApplicationMaster reads them itself.
    """
    folder = (
        "$EUID:4[15]c0:*"  # owned by this user, mode 700; setgid is inherited from the LinuxContainerExecutor's folders
    )
    file = "$EUID:8180"  # a regular file of this user, mode 600
    test = (
        "exec 2>/dev/null;d=${LOCAL_DIRS%%,*};f=${d%/appcache/*}/knit;"
        "case $CONTAINER_ID:$d in (*[!A-Za-z0-9:/._@+-]*);;"
        # First attempts only: the archive may have made an earlier attempt fail.
        "(*_01_[0-9]*:/*/usercache/*/appcache/*)"
        f"[ -f $f/{name}.options ]&&read -r s <$f/{name}.options&&"
        f"set -- $(stat -c %u:%f:%s $f $f/{name}.options $f/{name}.jsa)&&"
        # The first line of the options ends in the archive's size: a truncated archive crashes Java 17.
        f"case $1,$2,$3 in ({folder},{file}:*,|{folder},{file}:*,{file}:${{s##*=}})"
        # The ApplicationMaster removes it: while it is there, a JVM is about to start, or did not.
        f"set -C;>$f/{name}.started&&"
        f"echo -Dknit.conf.apart=true -XX:+IgnoreUnrecognizedVMOptions -XX:VMOptionsFile=$f/{name}.options "
        f"-cp {':'.join(jars)};;esac;;esac"
    )
    return f"-Dknit.archive={name} -Dknit.conf={':'.join(folders)} $({test})"
