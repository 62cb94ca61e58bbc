"""The identifiers that appear in messages, keys and queue names, and what they may look like."""

import re
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import StringConstraints

TENANT_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""A tenant's id is one word of a routing key: no dot, no wildcard, no control character."""

REQUEST_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"
"""Chosen by the upstream service; unique per tenant and kind of saga."""

ADMINISTRATION: Final = "administration"
"""The tenant that is ourselves: to add a buyer is a saga of its. It has no quota."""

TenantId = Annotated[str, StringConstraints(pattern=TENANT_PATTERN)]
RequestId = Annotated[str, StringConstraints(pattern=REQUEST_PATTERN)]
StepName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
SagaId = UUID
Direction = Literal["do", "undo"]


def is_tenant(word: str) -> bool:
    """Whether it looks like a tenant's id; there may be no such tenant."""
    return re.fullmatch(TENANT_PATTERN, word) is not None
