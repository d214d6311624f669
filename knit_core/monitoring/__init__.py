"""What an application is doing: waiting for it, and why it waits or failed."""
