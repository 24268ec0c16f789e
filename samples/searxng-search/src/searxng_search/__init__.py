"""The remote tool_runtime provider searxng-search."""
