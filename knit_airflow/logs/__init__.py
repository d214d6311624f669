"""Container logs in a task's log: written by the worker or the triggerer, limited, masked."""
