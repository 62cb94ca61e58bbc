"""Whether the audit is as it was written: each link holds the SHA-256 of the link before it and of its row.

The rows come as the database tells them; the hashes are computed here, so that no function of the database
that was replaced can hide anything. What cannot be known from the database alone is whether its owner wrote
all of it anew: for that there are witnesses, heads that earlier runs told and that are kept elsewhere.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from contracts.process.postgres import Database
from orchestrator.operate.errors import BadUsage

BEGINNING = bytes(32)
"""What the first link holds in place of a link before it."""

TOLD = 100
"""Findings that are told at most; all are counted."""

AHEAD = 1000

# The words of audit_content in schema.sql. One statement sees one moment, whatever is added meanwhile.
_CHAIN = """
SELECT h.link AS head, h.hash AS head_hash, c.link, c.hash, c.audit_id AS linked, a.audit_id,
    jsonb_build_array(a.audit_id, (extract(epoch FROM a.at) * 1000000)::bigint, a.actor, a.action,
        a.tenant_id, a.saga_id, a.reason, a.before, a.after, a.written_by)::text AS content
FROM audit_head h LEFT JOIN (audit_chain c FULL JOIN audit a ON a.audit_id = c.audit_id) ON true
ORDER BY c.link NULLS LAST, a.audit_id
"""


@dataclass(frozen=True, slots=True)
class Witness:
    """A head that an earlier run told."""

    link: int
    hash: bytes

    @classmethod
    def of(cls, text: str) -> "Witness":
        """Raises BadUsage."""
        said = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text)
        if said is None:
            raise BadUsage("a witness is what `leadsaga audit verify` tells as head: a number and a hash")
        return cls(int(said[1]), bytes.fromhex(said[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """`head`: the witness of now, to be kept elsewhere. `findings`: the first of `damage`."""

    links: int
    head: str
    damage: int
    findings: list[str]

    @property
    def clean(self) -> bool:
        return self.damage == 0


@dataclass(slots=True)
class Walk:
    """Along the chain, from its beginning, row by row in the order of _CHAIN."""

    witness: Witness | None = None
    last: int = 0
    hash: bytes = BEGINNING
    head: tuple[int, bytes] | None = None
    damage: int = 0
    findings: list[str] = field(default_factory=list)

    def take(self, row: Any) -> None:
        self.head = row["head"], bytes(row["head_hash"])
        if row["link"] is not None:
            self._link(row["link"], bytes(row["hash"]), row)
        elif row["audit_id"] is not None:
            self._find(f"row {row['audit_id']} is in no link: it was put in past the chain")

    def _link(self, link: int, found: bytes, row: Any) -> None:
        whole = link == self.last + 1
        if not whole:
            self._find(f"links {self.last + 1} to {link - 1} are gone, and their rows with them")
        if row["audit_id"] is None:
            self._find(f"row {row['linked']} of link {link} was removed")
        elif whole and hashlib.sha256(self.hash + row["content"].encode()).digest() != found:
            self._find(f"row {row['linked']} of link {link} was changed or moved, or the link was")
        if self.witness is not None and link == self.witness.link and found != self.witness.hash:
            self._find(f"link {link} is not the one that the witness saw: the chain was written anew")
        self.last, self.hash = link, found

    def end(self) -> Verified:
        match self.head:
            case None:
                self._find("the head of the chain is gone")
            case link, _ if link > self.last:
                self._find(f"links {self.last + 1} to {link} are gone from the end, and their rows with them")
            case link, found if (link, found) != (self.last, self.hash):
                self._find(f"the head says link {link}, and the chain ends otherwise at {self.last}")
        if self.witness is not None and self.witness.link > self.last:
            self._find(f"the witness saw link {self.witness.link}, and the chain ends at {self.last}")
        head = f"{self.last}:{self.hash.hex()}"
        return Verified(links=self.last, head=head, damage=self.damage, findings=self.findings)

    def _find(self, what: str) -> None:
        self.damage += 1
        if len(self.findings) < TOLD:
            self.findings.append(what)


async def verify(database: Database, witness: Witness | None = None) -> Verified:
    """Reads the whole audit, and holds no more of it than a part. Others may add to it meanwhile."""
    async with database.transaction(name="operate.verify") as connection:
        return await verified(connection, witness)


async def verified(connection: Any, witness: Witness | None = None) -> Verified:
    walk = Walk(witness)
    async for row in connection.cursor(_CHAIN, prefetch=AHEAD):
        walk.take(row)
    return walk.end()
