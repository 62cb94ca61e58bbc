"""What the accepted meter events amount to."""

from decimal import Decimal

from deploy.sandbox.state import State
from deploy.sandbox.wire import Json


def total(  # noqa: PLR0913 - one reading of the meter
    state: State, meter: Json, customer: str, start: int, end: int, *, received_until: float | None = None
) -> Decimal:
    """Usage stamped in [start, end) and received by a moment, by the meter's formula. May be negative."""
    rows = state.rows(
        "SELECT value FROM meter_event WHERE meter = ? AND customer = ? AND timestamp >= ? AND timestamp < ?"
        " AND cancelled_at IS NULL AND received_at <= ? ORDER BY timestamp, seq",
        *(meter["id"], customer, start, end, state.now() if received_until is None else received_until),
    )
    values = [Decimal(row["value"]) for row in rows]
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return Decimal(len(values))
    if formula == "last":
        return values[-1] if values else Decimal(0)
    return sum(values, Decimal(0))


def by_customer_and_meter(state: State) -> list[Json]:
    """For assertions: the net of all accepted events, whatever their period, with how many there were."""
    totals: dict[tuple[str, str], Json] = {}
    for row in state.rows("SELECT * FROM meter_event ORDER BY seq"):
        entry = totals.setdefault(
            (row["customer"], row["event_name"]),
            {
                "customer": row["customer"],
                "meter": row["meter"],
                "event_name": row["event_name"],
                "total": Decimal(0),
                "events": 0,
                "cancelled": 0,
                "dropped": 0,
            },
        )
        if row["meter"] is None:
            entry["dropped"] += 1
        elif row["cancelled_at"] is not None:
            entry["cancelled"] += 1
        else:
            entry["events"] += 1
            entry["total"] += Decimal(row["value"])
    return [{**entry, "total": number(entry["total"])} for entry in totals.values()]


def number(value: Decimal) -> int | float:
    """JSON's form of a total: whole wherever it is whole."""
    return int(value) if value == int(value) else float(value)
