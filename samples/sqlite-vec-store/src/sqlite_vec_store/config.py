"""What the configuration of a server may say about this provider."""

from pydantic import BaseModel, ConfigDict, Field


class StoreConfig(BaseModel):
    """The ``config`` of this provider; the server validates it before anything runs."""

    model_config = ConfigDict(extra="forbid")

    db_path: str = Field(
        default=":memory:",
        description="The database file, such as ${env.HOME}/vectors.db; without one everything "
        "is in memory, and gone when the server stops.",
    )
    busy_timeout: float = Field(
        default=5, ge=0, description="Seconds to wait for another process that writes to the file."
    )
    embedding_timeout: float = Field(
        default=30, gt=0, description="Seconds that the embedding of a query may take."
    )
