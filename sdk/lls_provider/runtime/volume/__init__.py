"""The shared volume: what is installed on it, and bringing it to a desired state."""
