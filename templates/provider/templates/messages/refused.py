    async def create_message_batch(self, request: Any) -> Any:
        """Refuse: batches are not implemented."""
        raise NotImplementedError(NO_BATCHES)

    async def retrieve_message_batch(self, request: Any) -> Any:
        """Refuse: batches are not implemented."""
        raise NotImplementedError(NO_BATCHES)

    async def list_message_batches(self, request: Any) -> Any:
        """Refuse: batches are not implemented."""
        raise NotImplementedError(NO_BATCHES)

    async def cancel_message_batch(self, request: Any) -> Any:
        """Refuse: batches are not implemented."""
        raise NotImplementedError(NO_BATCHES)

    async def retrieve_message_batch_results(self, request: Any) -> Any:
        """Refuse: batches are not implemented."""
        raise NotImplementedError(NO_BATCHES)
