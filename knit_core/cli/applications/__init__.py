"""Commands that launch, show, change and end applications."""
