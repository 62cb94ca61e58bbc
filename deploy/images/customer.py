"""A customer at Stripe (or its stand-in), subscribed to a metered price from the start of this month.

    python -m deploy.images.customer acme --name "Acme" --plan basic --price 0.40 --currency eur

prints the customer's id, for `leadsaga tenants add --stripe-customer`. Stripe's address and key are those
that report_to_stripe uses, so run it there.
"""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from decimal import Decimal

from steps.clients.stripe import open_stripe


async def create(wanted: argparse.Namespace, now: datetime) -> str:
    """Meter and price are made when they are missing; a customer is made every time."""
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    async with open_stripe() as billing:
        meter = await billing.ensure_meter(wanted.event_name)
        price = await billing.ensure_price(
            wanted.plan, meter=meter, price_per_lead=wanted.price, currency=wanted.currency
        )
        customer = await billing.create_customer(wanted.name, wanted.tenant)
        await billing.ensure_subscription(customer, price, start=month)
    return customer


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.images.customer")
    parser.add_argument("tenant")
    parser.add_argument("--name", required=True)
    parser.add_argument("--plan", required=True)
    parser.add_argument("--price", type=Decimal, required=True, help="of one lead")
    parser.add_argument("--currency", required=True)
    parser.add_argument("--event-name", default="leads_delivered", help="of the meter")
    customer = asyncio.run(create(parser.parse_args(arguments), datetime.now(UTC)))
    sys.stdout.write(f"{customer}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
