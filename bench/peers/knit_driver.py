"""A running application, driven with this repository's Knit. Commands and answers: see `../driver.py`."""

import json
import sys
import time

from knit_core import Knit

knit = Knit(sys.argv[1])
app = None
for line in sys.stdin:
    job = json.loads(line)
    begun = time.time()
    answer = {"begun": begun}
    if job["do"] == "submit":
        app = knit.submit(job["command"], instances=job["instances"], memory=job["memory"])
        answer["id"] = app.id
    elif job["do"] == "scale":
        app.scale(job["instances"])
    elif job["do"] == "kv":
        puts, gets = [], []
        for number in range(job["rounds"]):
            key, value = f"key{number % 50}", "x" * 100
            before = time.perf_counter()
            app.kv[key] = value
            between = time.perf_counter()
            assert app.kv[key] == value
            gets.append(time.perf_counter() - between)
            puts.append(between - before)
        answer.update(puts=puts, gets=gets)
    elif job["do"] == "status":
        for _ in range(job["rounds"]):
            app.containers()
    elif job["do"] == "logs":
        text = sum(len(entry.text) + 1 for entry in app.logs(follow=True))
        answer["bytes"] = text
    elif job["do"] == "end":
        app.kill("measured", grace=0)  # as skein does: through the ResourceManager
    print(json.dumps({**answer, "took": time.time() - begun}), flush=True)
