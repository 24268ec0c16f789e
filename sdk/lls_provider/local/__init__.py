"""The five phases on this machine, with the real server (contract section 2)."""
