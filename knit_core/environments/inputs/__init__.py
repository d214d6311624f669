"""What an environment is asked for with: files, locks, names."""
