"""One launch with knit 0.2.4, as its manual does it. Arguments and output: see `../trial.py`."""

import json
import sys
import time

from knit import Knit

job = json.loads(sys.argv[1])
knit = Knit(replication_factor=1, **job["seed"])
submitting = time.time()
app_id = knit.start(
    job["command"],
    num_containers=job["instances"],
    memory=job["memory"],
    files=[job["archive"]] if job["archive"] else [],
)
print(json.dumps({"submitting": submitting, "submitted": time.time(), "id": app_id}), flush=True)
sys.stdin.readline()
knit.kill()
