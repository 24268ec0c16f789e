"""Providers in a cluster: what is wrong with a Pod that does not start."""
