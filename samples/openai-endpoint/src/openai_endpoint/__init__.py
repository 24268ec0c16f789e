"""The remote inference provider openai-endpoint."""
