
@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn() as running:
        yield running


def run(stand_in: StandIn, call: Any, **config: Any) -> Any:
    """Return what ``call`` makes of an adapter that calls the stand-in."""

    async def called() -> Any:
        given = {"url": stand_in.url, "api_key": KEY, **config}
        adapter = await get_adapter_impl(Config.model_validate(given), {})
        try:
            return await call(adapter)
        finally:
            await adapter.shutdown()

    return asyncio.run(called())
