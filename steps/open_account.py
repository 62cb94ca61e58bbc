"""Opens the tenant's account at Stripe, a customer and its subscription; closing it deletes the customer.

Each is looked for before it is made, so that another attempt goes on where one died. A plan that is billed by
hand needs no account.
"""

from contracts.errors import StepError, StepRejected, StepTransient, StepUnknown
from contracts.facts import AccountOpened, TenantStored
from contracts.messages import Command
from contracts.outcomes import Done, Outcome
from contracts.requests import TenantRequested
from steps.clients.stripe_accounts import Accounts, open_accounts
from steps.runtime.step import Attempt, Single, Step

MOST_KEYS = 20
"""Of one customer: more than the attempts of a saga can use up."""


async def open_account(command: Command, attempt: Attempt) -> Outcome:
    stored = command.fact(TenantStored)
    if stored.billing == "manual":
        return Done(facts=AccountOpened().model_dump(mode="json"))
    accounts: Accounts = attempt.client
    customer = await _customer(accounts, command, keys=min(command.attempt, MOST_KEYS))
    async with attempt.transaction("customer", customer=customer):
        pass  # fenced, it goes no further: whoever closes the account finds the customer
    try:
        fact = await _subscribed(accounts, command, customer)
    except StepTransient as error:
        # It may pass, but the customer is there: nobody may take this for an attempt that did nothing.
        raise StepUnknown(error.reason, error=error.error) from None
    except StepRejected as error:
        await _undone(accounts, customer, error)
        raise
    async with attempt.transaction("subscription", subscription=str(fact.subscription)):
        return Done(facts=fact.model_dump(mode="json"))


async def _subscribed(accounts: Accounts, command: Command, customer: str) -> AccountOpened:
    stored = command.fact(TenantStored)
    price = stored.stripe_price or await accounts.price_of(
        stored.plan_id,
        event_name=stored.event_name,
        price_per_lead=stored.price_per_lead,
        currency=stored.currency,
    )
    subscription = await accounts.subscribe(customer, price, start=stored.billing_anchor)
    return AccountOpened(customer=customer, subscription=subscription, price=price)


async def _undone(accounts: Accounts, customer: str, refusal: StepRejected) -> None:
    """A refusal says that nothing is left of the step. Raises StepUnknown when that is not sure."""
    try:
        await accounts.close_customer(customer)
    except StepError:
        raise StepUnknown(refusal.reason, error=refusal.error) from None


async def _customer(accounts: Accounts, command: Command, *, keys: int) -> str:
    asked, stored = command.asked(TenantRequested), command.fact(TenantStored)
    return await accounts.open_customer(
        command.saga_id,
        tenant_id=asked.new_tenant,
        name=asked.name,
        since=stored.stored_at,
        keys=keys,
    )


async def close_account(command: Command, attempt: Attempt) -> Outcome:
    """A call that nobody heard the end of may still be under way when the account is closed. So when there is
    no customer to delete, one is made with the same key, and deleted: what comes late under that key makes
    nothing any more."""
    stored = command.fact(TenantStored)
    if stored.billing == "manual":
        return Done()
    accounts: Accounts = attempt.client
    made = await accounts.customers_of(command.saga_id, stored.stored_at)
    if not made:
        try:
            made = [await _customer(accounts, command, keys=MOST_KEYS)]
        except StepRejected:
            return Done()  # Stripe makes no such customer, now or late
    for customer in made:
        await accounts.close_customer(customer)
    return Done()


STEP = Step(
    name="open_account",
    do=Single(run=open_account),
    undo_name="close_account",
    undo=Single(run=close_account),
    client=open_accounts,
)
