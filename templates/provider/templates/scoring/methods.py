    async def list_scoring_functions(self) -> list[api.ScoringFn]:
        """Return the functions to offer; the server registers them when it starts."""
        return [
            api.ScoringFn(
                identifier=f"{PREFIX}::{name}",
                provider_id=PREFIX,
                provider_resource_id=name,
                description=description,
                return_type=api.NumberType(),
            )
            for name, description in FUNCTIONS.items()
        ]

    async def register_scoring_function(self, scoring_fn: api.ScoringFn) -> None:
        """Accept another name for a function; raise ValueError for a function you do not have."""
        if scoring_fn.provider_resource_id not in FUNCTIONS:
            raise ValueError(f"there is no function {scoring_fn.provider_resource_id}")
        self._functions[scoring_fn.identifier] = scoring_fn.provider_resource_id

    async def unregister_scoring_function(self, scoring_fn_id: str) -> None:
        """Forget a name."""
        self._functions.pop(scoring_fn_id, None)

    async def score_batch(self, request: api.ScoreBatchRequest) -> api.ScoreBatchResponse:
        """Score all rows of a dataset."""
        asked = api.IterRowsRequest(dataset_id=request.dataset_id, limit=-1)
        rows = (await self._datasets.iterrows(asked)).data
        scored = await self._scored(rows, request.scoring_functions)
        return api.ScoreBatchResponse(dataset_id=request.dataset_id, results=scored)

    async def score(self, request: api.ScoreRequest) -> api.ScoreResponse:
        """Score rows that the request holds."""
        scored = await self._scored(request.input_rows, request.scoring_functions)
        return api.ScoreResponse(results=scored)
