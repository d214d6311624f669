"""What both Dask scripts do with a cluster, and when each thing was there; only `distributed` and the standard library."""

import atexit
import json
import os
import signal
import sys
import time


class Steps:
    """Takes the times of one run and prints them as one line of JSON."""

    def __init__(self):
        job = json.loads(sys.argv[1])
        self.begun, self.many = job["begun"], job["many"]
        self.prefix, self.resourcemanager = job["prefix"], job["resourcemanager"]
        self.found = {}
        atexit.register(self.done)  # what was measured before a step failed counts

    def run(self, cluster, client):
        """First result, growth, a killed worker, adaptive down and up."""
        assert client.submit(lambda x: x + 1, 1).result() == 2
        self.found["first"] = time.time() - self.begun
        client.wait_for_workers(2)
        self.found["both"] = time.time() - self.begun
        before = time.time()
        cluster.scale(self.many)
        client.wait_for_workers(self.many)
        self.found["grow"] = time.time() - before
        before = time.time()
        cluster.scale(2)
        self.wait(lambda: len(self.workers(client)) == 2)
        self.found["shrink"] = time.time() - before
        self.kill_one(client)
        self.adapt(cluster, client)

    def kill_one(self, client):
        """From SIGKILL to the container's processes until another worker works."""
        known = self.workers(client)
        victim = sorted(known)[0]
        nanny = client.run(os.getppid, workers=[victim])[victim]
        worker = client.run(os.getpid, workers=[victim])[victim]
        before = time.time()
        for process in (nanny, worker):
            os.kill(process, signal.SIGKILL)
        self.wait(lambda: len(self.workers(client) - known) == 1 and len(self.workers(client)) == 2)
        self.found["replaced"] = time.time() - before

    def adapt(self, cluster, client):
        """Down to nothing; then twenty tasks of a quarter second each, from nobody."""
        before = time.time()
        cluster.adapt(minimum=0, maximum=4)
        self.wait(lambda: not self.workers(client))
        self.found["adapt_down"] = time.time() - before
        before = time.time()
        futures = client.map(lambda n: time.sleep(0.25) or n, range(20), pure=False)
        assert sum(client.gather(futures)) == 190
        self.found["adapt_up"] = time.time() - before

    def workers(self, client):
        return set(client.nthreads())

    def wait(self, condition):
        deadline = time.time() + 120
        while not condition():
            if time.time() > deadline:
                raise SystemExit(f"no further after {self.found}")
            time.sleep(0.05)

    def done(self):
        print(json.dumps(self.found), flush=True)
