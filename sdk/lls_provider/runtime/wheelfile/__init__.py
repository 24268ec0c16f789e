"""One wheel file: its archive, its RECORD, its metadata, and unpacking it."""
