"""This machine: files, temporary directories, the cache, HTTP and TLS. It belongs to no feature."""
