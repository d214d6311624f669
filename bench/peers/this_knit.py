"""One launch with this repository's Knit, as a user's script would do it. Arguments and output: see `../trial.py`."""

import json
import sys
import time

from knit_core import Knit

job = json.loads(sys.argv[1])
knit = Knit(job["resourcemanager"])
submitting = time.time()
app = knit.submit(job["command"], instances=job["instances"], memory=job["memory"], env=job["archive"])
print(json.dumps({"submitting": submitting, "submitted": time.time(), "id": app.id}), flush=True)
sys.stdin.readline()
app.kill("measured")
