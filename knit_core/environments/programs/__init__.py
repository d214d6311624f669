"""Programs that run in separate processes. They import nothing of Knit."""
