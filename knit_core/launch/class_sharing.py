"""Class data sharing: what the ApplicationMaster's command line says of the archive of classes on its node.

An archive halves the processor time until an ApplicationMaster registers. ApplicationMasters make it (`ClassArchive.java`, which
names the files and says what they are for); the command line only looks whether there is one that may be used, and is the
same as without when there is not. Archives are code, so they lie where only YARN and the user can put something:
`<local>/usercache/<user>/knit`, mode 700, in the first of the node's local folders. With the DefaultContainerExecutor, and with
the LinuxContainerExecutor without security, all users' containers run as one user of the operating system; there they can
change one another's archives as they can change one another's localised jars.
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
    """`yarn.application.classpath` as its entries of jars (`*`, `.jar`), and the others: folders with configuration, which an
    archive's class path may not have."""
    entries = [part.strip() for part in classpath.split(",") if part.strip()]
    jars = [entry for entry in entries if entry.endswith(("*", ".jar"))]
    return jars, [entry for entry in entries if entry not in jars]


def can_share(java: str, memory: int) -> bool:
    """Whether an archive can be made: the options here go together with those of the Java command (some may be given once
    only), and the container has room.

    Args:
        java: the command on the nodes.
        memory: MiB of the ApplicationMaster's container.
    """
    return memory >= _LEAST_MEMORY and not _OWN_OPTIONS.search(java)


def archive_name(jar: str, java: str, classpath: str) -> str:
    """The archive's name: different for whatever would make it another one, as far as the client knows.

    Args:
        jar: the SHA-256 of the ApplicationMaster's jar.
        java: the command on the nodes.
        classpath: of the cluster.
    """
    return hashlib.sha256(json.dumps([_FORMAT, jar, java, classpath]).encode()).hexdigest()[:16]


def sharing_options(name: str, jars: Sequence[str], folders: Sequence[str]) -> str:
    """The part of the command line that uses an archive, or has one recorded, where the node has a file of options for it.

    It stands in the double quotes of a bash script, so it has none; nor `{{` or `}}`, which YARN replaces. The file of
    options is for the JVM to read: Java 8 ignores it. In front of the main class: the last `-cp` is the one that counts.

    Args:
        name: see `archive_name`.
        jars: the class path's entries, the ApplicationMaster's jar first.
        folders: of configuration; the ApplicationMaster looks into them itself.
    """
    folder = "$EUID:4[15]c0:*"  # of this user, mode 700; the LinuxContainerExecutor's folders hand on their setgid bit
    file = "$EUID:8180"  # of this user, plain, mode 600
    look = (
        "exec 2>/dev/null;d=${LOCAL_DIRS%%,*};f=${d%/appcache/*}/knit;"
        "case $CONTAINER_ID:$d in (*[!A-Za-z0-9:/._@+-]*);;"
        # An attempt after the first may be there because of the archive.
        "(*_01_[0-9]*:/*/usercache/*/appcache/*)"
        f"[ -f $f/{name}.options ]&&read -r s <$f/{name}.options&&"
        f"set -- $(stat -c %u:%f:%s $f $f/{name}.options $f/{name}.jsa)&&"
        # The options' first line ends in the archive's size: Java 17 would crash with a truncated one.
        f"case $1,$2,$3 in ({folder},{file}:*,|{folder},{file}:*,{file}:${{s##*=}})"
        # The ApplicationMaster removes it: while it is there, a JVM is about to start, or did not.
        f"set -C;>$f/{name}.started&&"
        f"echo -Dknit.conf.apart=true -XX:+IgnoreUnrecognizedVMOptions -XX:VMOptionsFile=$f/{name}.options "
        f"-cp {':'.join(jars)};;esac;;esac"
    )
    return f"-Dknit.archive={name} -Dknit.conf={':'.join(folders)} $({look})"
