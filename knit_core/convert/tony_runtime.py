"""The variables that TonY gives to a job's program, set by lines of bash and, for addresses, by a short Python program."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from knit_core.convert.draft import Draft, Mark

FRAMEWORKS = ("tensorflow", "pytorch", "mxnet", "standalone")

# Each instance puts its host and a free port into the key-value store, and waits for those of all others.
_ADDRESSES = """
import json, os, shlex, socket
import knit_container as knit
framework, job, jobs = json.loads({argument})
listener = socket.socket()
listener.bind(("", 0))
port = listener.getsockname()[1]
listener.close()
def key(job, index):
    return "tony/" + job + "/" + str(index)
knit.kv[key(job, knit.instance)] = socket.gethostname() + ":" + str(port)
spec = {{each: [knit.kv.wait(key(each, index)) for index in range(count)] for each, count in jobs.items()}}
given = {{"CLUSTER_SPEC": json.dumps(spec)}}
if framework == "tensorflow":
    given["TF_CONFIG"] = json.dumps({{"cluster": spec, "task": {{"type": job, "index": knit.instance}}}})
elif framework == "pytorch":
    given["INIT_METHOD"] = "tcp://" + spec["worker"][0]
elif framework == "mxnet":
    host, _, number = spec["scheduler"][0].partition(":")
    given.update(DMLC_ROLE=job, DMLC_PS_ROOT_URI=socket.gethostbyname(host), DMLC_PS_ROOT_PORT=number)
    given.update(DMLC_NUM_SERVER=str(jobs.get("server", 0)), DMLC_NUM_WORKER=str(jobs["worker"]))
for name, value in given.items():
    print("export " + name + "=" + shlex.quote(value))
"""
_NEEDED = {"pytorch": "worker", "mxnet": "scheduler"}


def setup_lines(framework: str, job: str, jobs: Mapping[str, int], draft: Draft, mark: Mark) -> list[str]:
    """Lines of bash before a job's command.

    Args:
        framework: `tony.application.framework`.
        job: the job.
        jobs: all jobs with their numbers of instances.
        draft, mark: for a framework without an equivalent.
    """
    if framework not in FRAMEWORKS:
        draft.refuse(
            mark,
            f"tony.application.framework: {framework[:40]!r} is none of {', '.join(FRAMEWORKS)}",
        )
        return []
    needed = _NEEDED.get(framework)
    if needed and needed not in jobs:
        draft.refuse(mark, f"tony.application.framework: {framework} needs a job {needed!r}")
        return []
    lines = [
        f"export JOB_NAME={job} TASK_INDEX=$KNIT_INSTANCE TASK_NUM=$KNIT_INSTANCES SESSION_ID=0 JOB_ID=$KNIT_APP_ID"
    ]
    if framework == "pytorch":
        lines.append(f"export RANK=$KNIT_INSTANCE WORLD={jobs[needed or job]}")
    if framework == "standalone":
        return lines
    program = _ADDRESSES.format(argument=repr(json.dumps([framework, job, dict(jobs)])))
    return [*lines, f'tony_variables="$(python3 -c {shlex.quote(program)})"', 'eval "$tony_variables"']


__all__ = ["FRAMEWORKS", "setup_lines"]
