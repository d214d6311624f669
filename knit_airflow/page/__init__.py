"""Knit's page in Airflow: shows the applications of this deployment, live; users with permission can end and scale them.

`app` has the routes, `service` their implementation. `list_view` and `detail_view` convert answers of the cluster into rows for
the browser, and are pure. `cluster_cache` sends requests to the cluster, once for all viewers (`single_flight`); `task_lookup`
finds the task instance of an application; `auth` uses Airflow's auth manager. `static/` has the browser's files: no build step,
no resources from other hosts.
"""
