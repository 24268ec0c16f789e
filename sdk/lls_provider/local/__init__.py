"""The five phases on this machine."""
