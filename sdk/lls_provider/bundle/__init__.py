"""The /lls-provider tree: assemble, read, check."""
