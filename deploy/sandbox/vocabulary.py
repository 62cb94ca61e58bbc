"""Words from which plausible companies and people are made, by language."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter


class Vocabulary(BaseModel):
    """Roots x sectors x cities name 32 x 16 x 8 = 4,096 companies. `reasons` are format strings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    roots: tuple[str, ...]
    sectors: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]
    legal_forms: tuple[str, ...]
    given_names: tuple[str, ...]
    family_names: tuple[str, ...]
    titles: tuple[str, ...]
    reasons: tuple[str, ...]


VOCABULARIES = TypeAdapter(dict[str, Vocabulary]).validate_json(
    Path(__file__).with_name("vocabulary.json").read_text(encoding="utf-8")
)
