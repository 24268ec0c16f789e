"""What the configuration of a server may say about this provider."""

from pydantic import BaseModel, ConfigDict, Field, HttpUrl


class SearchConfig(BaseModel):
    """The ``config`` of this provider; the server validates it before anything runs."""

    model_config = ConfigDict(extra="forbid")

    base_url: HttpUrl = Field(description="Where SearXNG is, such as https://search.example.com.")
    results: int = Field(default=5, ge=1, le=20, description="How many results a model gets.")
    language: str = Field(default="auto", description="The language to search in, such as en.")
    timeout: float = Field(default=10, gt=0, description="Seconds that a search may take.")
    cache_seconds: float = Field(
        default=60, ge=0, description="Seconds for which the same search is not asked again."
    )
