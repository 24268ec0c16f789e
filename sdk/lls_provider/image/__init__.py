"""One image value and the sinks that write it."""
