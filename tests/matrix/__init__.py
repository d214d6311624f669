"""Kinds of clusters: the main jobs on each combination of authentication, high availability, way in and Hadoop version."""
