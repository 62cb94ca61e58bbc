"""Sagas as they stood when this process last wrote them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.core.state import ENDED
from orchestrator.store.port import Change, SagaKey, Stored

MOST = 2000


@dataclass(slots=True)
class Known:
    """Logs only grow, and a state is the fold of its log: while a log is as long as it was, its saga stands
    where it stood, whoever writes. So a length is all that has to be read of it.

    Learns only what is committed; forgets what was learned first once there is too much."""

    sagas: dict[SagaKey, Stored] = field(default_factory=dict)

    def among(self, keys: Iterable[SagaKey]) -> dict[SagaKey, Stored]:
        """To be held while the lengths are read: what is known may change meanwhile."""
        return {key: self.sagas[key] for key in keys if key in self.sagas}

    def learn(self, changes: Iterable[Change]) -> None:
        for change in changes:
            before, key = change.before, change.before.key
            self.sagas.pop(key, None)
            if change.entries and change.state.status not in ENDED:
                self.sagas[key] = Stored(
                    key=key,
                    saga=before.saga,
                    version=before.version,
                    request_id=before.request_id,
                    entries=before.entries + len(change.entries),
                    state=change.state,
                )
        while len(self.sagas) > MOST:
            del self.sagas[next(iter(self.sagas))]
