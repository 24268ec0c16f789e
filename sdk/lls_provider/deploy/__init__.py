"""Providers in a cluster: their manifests, and why a Pod does not start."""
