"""Phase 1: the provider image is planned, checked for conflicts and installed."""
