"""Knit's page in Airflow: the applications of this deployment, live, and what may be done to them.

`app` has the routes, `service` what they do. `list_view` and `detail_view` are pure: from what the cluster says to what the
browser shows. `cluster_cache` asks the cluster, once for all viewers (`single_flight`); `task_lookup` finds the task instance
of an application; `auth` asks Airflow's auth manager. `static/` is the browser's side, served as it is: no build step,
nothing from other hosts.
"""
