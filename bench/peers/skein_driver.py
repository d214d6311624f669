"""A running application, driven with skein as its manual does it. Commands and answers: see `../driver.py`."""

import json
import sys
import time

import skein

with skein.Client(log=False) as client:
    app = None
    for line in sys.stdin:
        job = json.loads(line)
        begun = time.time()
        answer = {"begun": begun}
        if job["do"] == "submit":
            resources = {"memory": job["memory"], "vcores": 1}
            service = {"instances": job["instances"], "resources": resources, "script": job["command"]}
            app = client.submit_and_connect(
                skein.ApplicationSpec.from_dict({"name": "bench", "services": {"main": service}})
            )
            answer["id"] = app.id
        elif job["do"] == "scale":
            app.scale("main", job["instances"])
        elif job["do"] == "kv":
            puts, gets = [], []
            for number in range(job["rounds"]):
                key, value = f"key{number % 50}", b"x" * 100
                before = time.perf_counter()
                app.kv[key] = value
                between = time.perf_counter()
                assert app.kv[key] == value
                gets.append(time.perf_counter() - between)
                puts.append(between - before)
            answer.update(puts=puts, gets=gets)
        elif job["do"] == "status":
            for _ in range(job["rounds"]):
                app.get_containers()
        elif job["do"] == "end":
            client.kill_application(app.id)
        print(json.dumps({**answer, "took": time.time() - begun}), flush=True)
