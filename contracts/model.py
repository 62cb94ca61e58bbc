"""The base of everything that travels: immutable, tolerant of fields a newer sender added."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

WIRE_VERSION: Literal[1] = 1
"""Version of every message. A message with another major version is dead-lettered, never guessed at."""


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")
