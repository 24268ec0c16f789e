"""The remote inference provider echo-inference."""
