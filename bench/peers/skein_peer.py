"""One launch with skein, as its manual does it. Arguments and output: see `../trial.py`."""

import json
import sys
import time

import skein

job = json.loads(sys.argv[1])
service = {
    "instances": job["instances"],
    "resources": {"memory": job["memory"], "vcores": 1},
    "files": {"environment": job["archive"]} if job["archive"] else {},
    "script": job["command"],
}
with skein.Client(log=False) as client:
    submitting = time.time()
    app_id = client.submit(skein.ApplicationSpec.from_dict({"name": "bench", "services": {"main": service}}))
    print(json.dumps({"submitting": submitting, "submitted": time.time(), "id": app_id}), flush=True)
    sys.stdin.readline()
    client.kill_application(app_id)
