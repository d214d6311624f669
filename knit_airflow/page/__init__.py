"""Knit's page in Airflow: the applications of this deployment, live, and what may be done to them.

`board` and `detail` are pure: from what the cluster says to what the browser shows. `clusters` asks the cluster, once for
all who watch; `owners` finds the task instance of an application; `access` asks Airflow's auth manager; `app` has the
routes. `static/` is the browser's side, served as it is: no build step, nothing from other hosts.
"""
