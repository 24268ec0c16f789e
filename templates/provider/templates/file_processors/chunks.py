def windows(text: str, size: int, overlap: int) -> Iterator[str]:
    """Yield windows of ``size`` words that share ``overlap`` words, at least one window.

    A word counts as one token. Raises ValueError when the overlap leaves no way forward.
    """
    if overlap >= size:
        raise ValueError(f"an overlap of {overlap} does not fit into chunks of {size}")
    words = text.split()
    last = max(len(words) - overlap, 1)
    for start in range(0, last, size - overlap):
        yield " ".join(words[start : start + size])


def _chunk(document_id: str, index: int, text: str, name: str) -> api.Chunk:
    chunk_id = f"{document_id}-{index}"
    return api.Chunk(
        content=text,
        chunk_id=chunk_id,
        metadata={"document_id": document_id, "filename": name},
        chunk_metadata=api.ChunkMetadata(
            chunk_id=chunk_id,
            document_id=document_id,
            source=name,
            content_token_count=len(text.split()),
        ),
    )
