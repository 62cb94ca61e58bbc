"""A dead letter that belongs to no saga goes again to where it died, as it was."""

from collections.abc import Collection

from contracts.names import REPLIES, REQUESTS, Names, heard_queue, is_heard
from contracts.process.publishing import Outgoing, Publishes, Unroutable
from orchestrator.run.chores import Republish
from orchestrator.store.port import Letter


def republisher_of(publisher: Publishes, names: Names, queues: Collection[str]) -> Republish:
    """`queues`: the work queues of all steps."""
    read = {REQUESTS, REPLIES, *queues, *map(heard_queue, queues)}

    async def republish(letter: Letter) -> None:
        if letter.queue not in read:
            raise Unroutable("no step of this release reads its queue", [])
        await publisher.publish([again(letter, names)], name="replay")

    return republish


def again(letter: Letter, names: Names) -> Outgoing:
    """A request keeps its routing key, by which it is believed or not. An event goes to its reader alone."""
    exchange, key = names.commands_exchange, letter.queue
    if letter.queue == REQUESTS:
        exchange, key = names.requests_exchange, letter.routing_key or ""
    elif letter.queue == REPLIES:
        exchange = names.replies_exchange
    elif is_heard(letter.queue):
        exchange, key = "", names.queue(letter.queue)
    return Outgoing(exchange=exchange, routing_key=key, body=letter.message, signed=letter.queue == REQUESTS)
