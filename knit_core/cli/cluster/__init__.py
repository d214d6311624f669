"""Commands about the cluster: `knit doctor` and the embedded one."""
