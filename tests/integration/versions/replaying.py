"""The processes of a recorded release at work again: every transaction that they committed, once more."""

import re
from typing import Any

from tests.golden.kept import Record

PREPARABLE = re.compile(r"(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


class Replaying:
    """On a connection of an administrator, who takes each transaction's role. Raises what the database does:
    the release itself met no error there."""

    def __init__(self, connection: Any, record: Record) -> None:
        run = record.read("run")
        self._connection = connection
        self._statements: list[str] = run["statements"]
        self._prepared = set[int]()
        self.transactions: list[Any] = run["transactions"]

    async def transaction(self, number: int, then: Any = None) -> None:
        """`then` is awaited before the commit."""
        role, steps = self.transactions[number]
        async with self._connection.transaction():
            await self._connection.execute(f"SET LOCAL ROLE {role}")
            for statement, parameters in steps:
                await self._execute(statement, parameters)
            if then is not None:
                await then

    async def _execute(self, number: int, parameters: list[str]) -> None:
        sql = self._statements[number]
        if not PREPARABLE.match(sql):
            await self._connection.execute(sql)
            return
        if number not in self._prepared:
            await self._connection.execute(f"PREPARE s{number} AS {sql}")
            self._prepared.add(number)
        given = f"({', '.join(parameters)})" if parameters else ""
        await self._connection.execute(f"EXECUTE s{number} {given}")

    def touching(self, *tables: str) -> int:
        """The first transaction that writes to one of the tables."""
        writes = re.compile(rf"\b(INSERT INTO|UPDATE) ({'|'.join(tables)})\b")
        for number, (_, steps) in enumerate(self.transactions):
            if any(writes.search(self._statements[statement]) for statement, _ in steps):
                return number
        raise LookupError(tables)
