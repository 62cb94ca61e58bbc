"""Every saga that this system runs, by name and version. Old versions stay until none of theirs is alive."""

from collections.abc import Mapping

from orchestrator.core.definition import Saga, scaled
from orchestrator.sagas.lead import LEAD
from orchestrator.sagas.provision_tenant import PROVISION_TENANT
from orchestrator.sagas.refund import REFUND

Sagas = Mapping[tuple[str, int], Saga]

CURRENT: tuple[Saga, ...] = (LEAD, REFUND, PROVISION_TENANT)
REGISTERED: tuple[Saga, ...] = CURRENT


def sagas(time_scale: float = 1.0) -> Sagas:
    """All registered versions, with their waits multiplied by `time_scale`."""
    return {(saga.name, saga.version): scaled(saga, time_scale) for saga in REGISTERED}
