"""Runs the vectors of the contract against any implementation that is a command line.

An implementation is seen through the contract's public interface alone: arguments, environment,
files on the volume, exit status, output. Nothing of our own runtime is imported here.
"""
