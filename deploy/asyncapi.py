"""One AsyncAPI 3 document of everything that travels, made from the consumers that run.

`python -m deploy.asyncapi --write` renews contracts/asyncapi.json; without `--write` it only says whether the
file is still true. Nothing is connected to.
"""

import json
import sys
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import unquote

from faststream.rabbit import ExchangeType, RabbitBroker, RabbitExchange
from faststream.specification import AsyncAPI
from pydantic import SecretStr

from contracts.bundle import Bundle
from contracts.events import Event
from contracts.messages import Command, Reply
from contracts.model import WIRE_VERSION, Model
from contracts.names import Names, event_key
from contracts.process.consuming import Subscription, make_broker, subscribe
from contracts.process.settings import BrokerSettings
from orchestrator.bus.consume import Ears
from orchestrator.sagas import REGISTERED
from steps import catalogue
from steps.runtime.consume import Consumer

FILE = Path(__file__).parents[1] / "contracts" / "asyncapi.json"
WRITE = "python -m deploy.asyncapi --write"

DESCRIPTION = """\
Upstream services publish requests to the topic exchange `{names.requests_exchange}` with routing key
`<tenant>.<type>`, and bind a queue of their own to the topic exchange `{names.events_exchange}` with
`<tenant>.#`. An event may come more than once: its `event_id`, also in the header `event-id`, stays the same.

Commands and replies travel between the orchestrator and the steps, one or more in a bundle. What cannot be
carried out goes to the queue of the same name that ends in `.dead`."""

BUNDLES = {Bundle[Command]: "Command", Bundle[Reply]: "Reply", Bundle[Event]: "Event"}

Json = dict[str, Any]


def document() -> Json:
    names = Names()
    broker = make_broker(BrokerSettings(amqp_url=SecretStr("amqp://broker/")))
    for each in subscriptions(names):
        subscribe(broker, each)
    _events(broker, names)
    about = DESCRIPTION.format(names=names)
    made = AsyncAPI(broker, title="leadsaga", version=str(WIRE_VERSION), description=about)
    return cast(Json, _normal(json.loads(made.to_specification().to_json())))


def text(made: Json) -> str:
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def subscriptions(names: Names) -> list[Subscription]:
    """What the processes subscribe. None of it is ever called, so it gets nothing to work with."""
    nothing: Any = None
    queues = dict.fromkeys(queue for saga in REGISTERED for queue in saga.queues())
    found = Ears(nothing, nothing, names).subscriptions(list(queues))
    for step in map(catalogue.find, catalogue.names()):
        found += Consumer(step, names, nothing, nothing).subscriptions()
    return found


def _events(broker: RabbitBroker, names: Names) -> None:
    """What upstream hears. The processes publish it by other means; here it is only documented."""
    exchange = RabbitExchange(names.events_exchange, type=ExchangeType.TOPIC, declare=False)
    for model in cast(tuple[type[Model], ...], get_args(get_args(Event)[0])):
        event = str(model.model_fields["event"].default)
        broker.publisher(
            exchange=exchange,
            routing_key=event_key("*", event),
            mandatory=False,
            persist=True,
            title=f"events.{event}",
            description=model.__doc__ or f"The request is {event}",
            schema=model,
        )


def _normal(value: Any) -> Any:
    """Without what depends on the machine or says nothing, and with names that AsyncAPI allows for keys."""
    if isinstance(value, dict):
        return {
            _name(key): _text(key, inner) if isinstance(inner, str) else _normal(inner)
            for key, inner in value.items()
            if not (key in {"servers", "correlationId"} and isinstance(inner, dict | list))
            and not (key == "vhost" and isinstance(inner, str))
        }
    return [_normal(inner) for inner in value] if isinstance(value, list) else value


def _text(key: str, value: str) -> str:
    if key == "$ref":
        return "/".join(_name(part) for part in unquote(value).split("/"))
    return _name(value) if key == "title" and (":" in value or "[" in value) else value


def _name(found: str) -> str:
    """FastStream and pydantic derive names from types and titles; AsyncAPI allows only some characters."""
    for bundle, item in BUNDLES.items():
        if found == bundle.__name__:
            return f"Bundle.{item}"
    owner, colon, _ = found.partition(":")
    return owner if colon and found.endswith("Message") else found.replace(":", ".")


def main(arguments: list[str]) -> int:
    made = text(document())
    same = FILE.is_file() and FILE.read_text(encoding="utf-8") == made
    if arguments == ["--write"]:
        FILE.write_text(made, encoding="utf-8")
        return 0
    if not same:
        sys.stdout.write(f"{FILE.name} is out of date: {WRITE}\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
