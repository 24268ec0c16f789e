"""Package Llama Stack (OGX) providers as images and install them into a running Pod."""

__version__ = "0.1.0"
