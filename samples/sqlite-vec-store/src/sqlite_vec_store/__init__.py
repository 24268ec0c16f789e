"""The inline vector_io provider sqlite-vec-store."""
