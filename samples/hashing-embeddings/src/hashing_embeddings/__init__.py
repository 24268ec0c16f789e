"""The inline inference provider hashing-embeddings."""
