"""Phase 4: every provider is loaded once, as the server will load it."""
