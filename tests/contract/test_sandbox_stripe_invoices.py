"""Invoices from metered usage, and the ways to give money back."""

import pytest
import stripe

from deploy.sandbox.client import SandboxAdmin
from tests.kit.sandbox import Shop

pytest_plugins = ("tests.kit.sandbox",)
# The SDK's httpx transport passes bytes in a way that httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def drafted(shop: Shop, *values: int) -> stripe.Invoice:
    for number, value in enumerate(values):
        await shop.report(f"batch-{number}", value)
    return await shop.sdk.v1.invoices.create_async({"customer": shop.customer})


async def finalized(shop: Shop, *values: int) -> stripe.Invoice:
    return await shop.sdk.v1.invoices.finalize_invoice_async((await drafted(shop, *values)).id)


async def paid(shop: Shop, *values: int) -> stripe.Invoice:
    return await shop.sdk.v1.invoices.pay_async((await finalized(shop, *values)).id)


async def test_a_draft_follows_usage_until_it_is_finalised(shop: Shop) -> None:
    draft = await drafted(shop, 20)
    assert (draft.status, draft.total) == ("draft", 1_000)
    period = draft.lines.data[0].period
    await shop.report("late", -5, period.start)
    invoice = await shop.sdk.v1.invoices.finalize_invoice_async(draft.id)
    assert (invoice.status, invoice.amount_due, invoice.lines.data[0].quantity) == ("open", 750, 15)
    await shop.report("too-late", -5, period.start)
    assert (await shop.sdk.v1.invoices.retrieve_async(draft.id)).total == 750


async def test_usage_below_zero_is_billed_as_zero_and_settled_at_once(shop: Shop) -> None:
    invoice = await finalized(shop, 3, -5)
    assert (invoice.status, invoice.total) == ("paid", 0)


async def test_usage_is_on_one_invoice_only(shop: Shop, admin: SandboxAdmin) -> None:
    assert (await finalized(shop, 20)).total == 1_000
    await admin.settings(now_offset_seconds=3_600.0)
    assert (await shop.sdk.v1.invoices.create_async({"customer": shop.customer})).total == 0
    invoices = await shop.sdk.v1.invoices.list_async({"customer": shop.customer})
    assert [invoice.total for invoice in invoices.data] == [0, 1_000]


async def test_a_paid_invoice_says_what_was_paid_and_is_not_paid_again(shop: Shop) -> None:
    invoice = await paid(shop, 20)
    assert (invoice.status, invoice.amount_paid, invoice.amount_remaining) == ("paid", 1_000, 0)
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        await shop.sdk.v1.invoices.pay_async(invoice.id)


async def test_lines_name_price_subscription_item_and_period(shop: Shop) -> None:
    invoice = await drafted(shop, 20)
    (line,) = (await shop.sdk.v1.invoices.line_items.list_async(invoice.id)).data
    assert line.pricing is not None
    assert line.pricing.price_details is not None
    assert shop.price == line.pricing.price_details.price
    assert line.parent is not None
    assert line.parent.subscription_item_details is not None
    assert shop.subscription == line.parent.subscription_item_details.subscription
    assert (line.quantity, line.amount) == (20, 1_000)


async def test_a_credit_note_on_a_paid_invoice_credits_the_balance_for_the_next_one(shop: Shop) -> None:
    invoice = await paid(shop, 20)
    note = await shop.sdk.v1.credit_notes.create_async(
        {
            "invoice": invoice.id,
            "lines": [
                {
                    "type": "invoice_line_item",
                    "invoice_line_item": invoice.lines.data[0].id,
                    "quantity": 3,
                }
            ],
            "credit_amount": 150,
            "reason": "product_unsatisfactory",
        }
    )
    assert (note.total, note.post_payment_amount, note.pre_payment_amount) == (150, 150, 0)
    assert (await shop.sdk.v1.customers.retrieve_async(shop.customer)).balance == -150
    (entry,) = (await shop.sdk.v1.customers.balance_transactions.list_async(shop.customer)).data
    assert ("credit_note", -150, note.id) == (entry.type, entry.amount, entry.credit_note)
    assert entry.id == note.customer_balance_transaction
    again = await shop.sdk.v1.invoices.retrieve_async(invoice.id)
    assert again.post_payment_credit_notes_amount == 150


async def test_a_credit_note_on_an_open_invoice_lowers_what_remains_and_settles_it_at_zero(
    shop: Shop,
) -> None:
    invoice = await finalized(shop, 20)
    note = await shop.sdk.v1.credit_notes.create_async({"invoice": invoice.id, "amount": 400})
    assert note.pre_payment_amount == 400
    assert (await shop.sdk.v1.invoices.retrieve_async(invoice.id)).amount_remaining == 600
    await shop.sdk.v1.credit_notes.create_async({"invoice": invoice.id, "amount": 600})
    assert (await shop.sdk.v1.invoices.retrieve_async(invoice.id)).status == "paid"
    assert [
        note.total for note in (await shop.sdk.v1.credit_notes.list_async({"invoice": invoice.id})).data
    ] == [600, 400]


async def test_a_refund_is_linked_to_its_credit_note(shop: Shop) -> None:
    invoice = await paid(shop, 20)
    note = await shop.sdk.v1.credit_notes.create_async(
        {"invoice": invoice.id, "amount": 200, "refund_amount": 150, "out_of_band_amount": 50}
    )
    assert [refund.amount_refunded for refund in note.refunds] == [150]
    assert note.id == (await shop.sdk.v1.credit_notes.retrieve_async(note.id)).id


async def test_a_preview_computes_without_taking_effect(shop: Shop) -> None:
    invoice = await paid(shop, 20)
    note = await shop.sdk.v1.credit_notes.preview_async(
        {"invoice": invoice.id, "amount": 100, "credit_amount": 100}
    )
    assert note.total == 100
    assert (await shop.sdk.v1.credit_notes.list_async({"invoice": invoice.id})).data == []


@pytest.mark.parametrize(
    ("amount", "credit", "words"),
    [
        (1_001, 1_001, "cannot exceed the invoice"),
        (100, 90, "must equal the credit note amount"),
        (0, 0, "must be greater than 0"),
    ],
)
async def test_amounts_that_do_not_add_up_are_refused(
    shop: Shop, amount: int, credit: int, words: str
) -> None:
    invoice = await paid(shop, 20)
    with pytest.raises(stripe.InvalidRequestError, match=words):
        await shop.sdk.v1.credit_notes.create_async(
            {"invoice": invoice.id, "amount": amount, "credit_amount": credit}
        )


async def test_a_draft_cannot_be_credited(shop: Shop) -> None:
    invoice = await drafted(shop, 20)
    with pytest.raises(stripe.InvalidRequestError, match="open or paid"):
        await shop.sdk.v1.credit_notes.create_async({"invoice": invoice.id, "amount": 100})


async def test_a_line_is_not_credited_beyond_its_quantity(shop: Shop) -> None:
    invoice = await finalized(shop, 20)
    line = invoice.lines.data[0].id
    credit_notes = shop.sdk.v1.credit_notes
    for quantity in (15, 5):
        await credit_notes.create_async(
            {
                "invoice": invoice.id,
                "lines": [{"type": "invoice_line_item", "invoice_line_item": line, "quantity": quantity}],
            }
        )
    with pytest.raises(stripe.InvalidRequestError):
        await credit_notes.create_async(
            {
                "invoice": invoice.id,
                "lines": [{"type": "invoice_line_item", "invoice_line_item": line, "quantity": 1}],
            }
        )


async def test_a_balance_credit_is_used_by_the_next_finalised_invoice(shop: Shop) -> None:
    balance = shop.sdk.v1.customers.balance_transactions
    entry = await balance.create_async(shop.customer, {"amount": -300, "currency": "eur"})
    assert (entry.type, entry.ending_balance) == ("adjustment", -300)
    invoice = await finalized(shop, 20)
    assert (invoice.total, invoice.amount_due, invoice.ending_balance) == (1_000, 700, 0)
    assert [one.type for one in (await balance.list_async(shop.customer)).data] == [
        "applied_to_invoice",
        "adjustment",
    ]
