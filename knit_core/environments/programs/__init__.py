"""Small programs that run in processes of their own; each stands alone and imports nothing of Knit."""
