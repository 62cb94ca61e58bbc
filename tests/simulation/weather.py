"""How bad it is in one history: how likely each kind of trouble, drawn from the seed."""

from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Chances from 0 to 1; `lag` and times in seconds."""

    lag: float = 0.01
    """What a word with a service usually takes, at most."""
    slow: float = 0.0
    """A message or a transaction takes much longer."""
    duplicate: float = 0.0
    """A message is there twice."""
    overtake: float = 0.0
    """A message passes those that wait before it."""
    unconfirmed: float = 0.0
    """A publish is not confirmed: its messages may have arrived or not."""
    lost_ack: float = 0.0
    """A channel dies at the moment of an ack, and takes the other messages of its process along."""
    cut: float = 0.0
    """A transaction loses its connection before or after its commit."""
    race: float = 0.0
    """A transaction loses a race and is rolled back."""
    stumble: float = 0.0
    """A step that only touches the database fails."""
    vendor: float = 0.0
    """A call of a vendor goes wrong."""
    crash: float = 0.0
    """A process dies at one of its awaits."""


KINDS = {
    "duplicate": 1.0,
    "overtake": 1.0,
    "unconfirmed": 1.0,
    "lost_ack": 1.0,
    "cut": 1.0,
    "race": 1.0,
    "vendor": 1.0,
    "crash": 0.3,
}
"""Kinds of trouble that may come alone, and how much of it is bearable."""

CALM = Weather(lag=0.005)


def forecast(chance: Random) -> Weather:
    """Some histories are calm but for one kind of trouble, in others everything comes together."""
    whole = Weather(
        lag=chance.choice((0.0, 0.01, 0.01, 0.1)),
        slow=chance.choice((0.0, 0.01, 0.05)),
        duplicate=chance.choice((0.0, 0.05, 0.3)),
        overtake=chance.choice((0.0, 0.2, 0.5)),
        unconfirmed=chance.choice((0.0, 0.03, 0.15)),
        lost_ack=chance.choice((0.0, 0.02, 0.1)),
        cut=chance.choice((0.0, 0.01, 0.05)),
        race=chance.choice((0.0, 0.02, 0.1, 0.5)),
        stumble=chance.choice((0.0, 0.05, 0.25)),
        vendor=chance.choice((0.0, 0.2, 0.5)),
        crash=chance.choice((0.0, 0.01, 0.04)),
    )
    if chance.random() < 0.7:
        return whole
    alone = chance.choice(list(KINDS))
    return replace(CALM, lag=whole.lag, **{alone: chance.choice((0.05, 0.15, 0.3)) * KINDS[alone]})
