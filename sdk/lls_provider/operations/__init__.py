"""What a user requires, one module an operation: used by the command line and the Python API."""
