"""The records of the releases that are out, for the tests that hold later ones to them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Record:
    directory: Path

    def __str__(self) -> str:
        return self.directory.name

    @property
    def schema(self) -> Path:
        return self.directory / "schema.sql"

    @property
    def schemas(self) -> dict[str, Any]:
        """JSON Schemas of all that travels, by name."""
        return {
            file.stem: json.loads(file.read_text()) for file in sorted((self.directory / "schemas").iterdir())
        }

    def read(self, name: str) -> Any:
        """`messages`, `sagas`, `statements`, `rows` (by table) or `run` (what the processes executed)."""
        return json.loads((self.directory / f"{name}.json").read_text(encoding="utf-8"))


RECORDS = [Record(directory) for directory in sorted(FOLDER.glob("v*"))]
