"""Values without I/O: facts about the cluster, applications, environments, results."""
