"""The inline file_processors provider text-file-processor."""
