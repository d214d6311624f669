"""Commands that launch, show and end applications."""
