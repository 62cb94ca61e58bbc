"""The sandbox's memory: one sqlite file, written before any answer leaves."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
TABLES = (
    *("setting", "call", "fault", "stripe_object", "meter_event", "idempotency"),
    *("discord_webhook", "discord_bucket", "discord_message"),
)


class Settings(BaseModel):
    """What the admin may change while the sandbox runs; every time is in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    now_offset_seconds: float = 0.0
    anthropic_latency_seconds: float = Field(default=0.0, ge=0)
    stripe_latency_seconds: float = Field(default=0.0, ge=0)
    discord_latency_seconds: float = Field(default=0.0, ge=0)
    summaries_lag_seconds: float = Field(default=0.0, ge=0)
    stripe_unknown_customer: Literal["reject", "accept"] = "reject"
    discord_bucket_limit: int = Field(default=5, ge=1)
    discord_bucket_seconds: float = Field(default=2.0, gt=0)


class State:
    """One connection, for the event loop's thread only. A killed process loses nothing that was answered."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(SCHEMA)
        self.settings = self._load_settings()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; committed when the block is left. Does not nest."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def run(self, sql: str, *values: Any) -> int:
        """Execute a statement; returns the id of the row it inserted."""
        return self._connection.execute(sql, values).lastrowid or 0

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        return self._connection.execute(sql, values).fetchall()

    def now(self) -> float:
        return time.time() + self.settings.now_offset_seconds

    def configure(self, changes: dict[str, Any]) -> Settings:
        """Raises pydantic.ValidationError and changes nothing when a name or value is wrong."""
        settings = Settings.model_validate({**self.settings.model_dump(), **changes})
        with self.transaction():
            self.run("INSERT OR REPLACE INTO setting VALUES ('all', ?)", settings.model_dump_json())
        self.settings = settings
        return settings

    def reset(self) -> None:
        with self.transaction():
            for table in TABLES:
                self.run(f"DELETE FROM {table}")  # noqa: S608 - names of our own tables
        self.settings = Settings()

    def close(self) -> None:
        self._connection.close()

    def _load_settings(self) -> Settings:
        row = self.one("SELECT value FROM setting WHERE name = 'all'")
        return Settings.model_validate_json(row["value"]) if row else Settings()
