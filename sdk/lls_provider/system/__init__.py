"""This machine: files, temporary folders, the cache, HTTP and TLS. It belongs to no feature."""
