"""The client for registries: pulls and pushes images by the OCI distribution specification."""
