"""What runs in the Pod: install (plan, apply, record), merge, preflight."""
