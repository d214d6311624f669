"""Container logs in a task's log: written by worker or triggerer, limited and masked."""
