"""How many waiting sagas of each tenant are worth reading when some places are free."""

from collections.abc import Mapping

FEWEST = 8


def shares(rooms: Mapping[str, int], free: int) -> dict[str, int]:
    """Twice a fair share of the free places for each waiting tenant, a few at least, as far as it has room.

    To read as many as could start of every tenant would cost tenants times places. What an uneven queue
    leaves free is given with the next turns, among the tenants that still wait then.
    """
    open_rooms = {tenant_id: room for tenant_id, room in rooms.items() if room > 0}
    if free <= 0 or not open_rooms:
        return {}
    most = max(FEWEST, -(-2 * free // len(open_rooms)))
    return {tenant_id: min(room, most, free) for tenant_id, room in open_rooms.items()}
