    def _processed(self, text: str, name: str, strategy: Any) -> api.ProcessFileResponse:
        document_id = str(uuid.uuid4())
        chunks = [
            _chunk(document_id, index, part, name)
            for index, part in enumerate(self._parts(text, strategy))
        ]
        metadata = {"processor": PROCESSOR, "characters": len(text)}
        return api.ProcessFileResponse(chunks=chunks, metadata=metadata)

    def _parts(self, text: str, strategy: Any) -> Iterator[str]:
        if strategy is None:
            return iter([text])
        if strategy.type == "auto":
            return windows(text, self.config.chunk_words, 0)
        if strategy.type == "static":
            static = strategy.static
            return windows(text, static.max_chunk_size_tokens, static.chunk_overlap_tokens)
        raise ValueError(f"chunking strategy '{strategy.type}' is not supported")
