"""What YARN and the ApplicationMaster have to say of an application that went wrong in a soak."""

from __future__ import annotations

import json
import re

from knit_core import Knit
from knit_core.local import LocalCluster
from tests.cluster_harness import rm_get

_ID = re.compile(r"application_\d+_\d+")
_LINES = 60  # of each log of an ApplicationMaster


def about(knit: Knit, cluster: LocalCluster, problem: str) -> list[str]:
    """Lines about every application that `problem` names; what cannot be read is told as such."""
    return [line for app_id in sorted(set(_ID.findall(problem))) for line in _about(knit, cluster, app_id)]


def _about(knit: Knit, cluster: LocalCluster, app_id: str) -> list[str]:
    lines = [f"--- {app_id}"]
    for path in (f"/apps/{app_id}", f"/apps/{app_id}/appattempts"):
        try:
            lines.append(json.dumps(rm_get(cluster, path)))
        except Exception as error:
            lines.append(f"{path}: {error!r}")
    try:
        for file in knit.attach(app_id).log_files(containers=["master"]):
            lines += [f"--- {file.name}", *b"".join(file).decode(errors="replace").splitlines()[-_LINES:]]
    except Exception as error:
        lines.append(f"logs: {error!r}")
    return lines
