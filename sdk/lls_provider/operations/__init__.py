"""What a user asks for, one module an operation: used by the command line and the Python API."""
