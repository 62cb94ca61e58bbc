"""What Discord takes, and how to make any text fit (discord.com/developers, "Embed Limits"). Pure."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

MOST_EMBEDS = 10
ALL_TEXT = 6_000
"""Characters of all embeds of a message together."""
TITLE, DESCRIPTION, FIELD_NAME, FIELD_VALUE, FOOTER, AUTHOR = 256, 4_096, 256, 1_024, 2_048, 256
MOST_FIELDS = 25
MAX_COLOR = 0xFFFFFF

ELLIPSIS = "…"
INVISIBLE = "\u200b"
"""Zero width: breaks what Discord would make a mention or a link of, without being seen."""
MARKDOWN = frozenset("\\*_~`|>#[]()<")
AT_LINE_START = frozenset("-+")


def safe(text: str, limit: int) -> str:
    """A stranger's text as one line that only ever shows as itself: no formatting, mention, link, control or
    invisible sign, and at most `limit` characters as Discord counts them."""
    line = " ".join("".join(map(_visible, text)).split()).replace("://", f":{INVISIBLE}//")
    return _joined([_inert(sign, first=at == 0) for at, sign in enumerate(line)], limit)


def fit(embeds: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The first ten that say something, each shortened as far as needed. Unknown parts are left out."""
    said = [embed for embed in embeds if _fit(embed, ALL_TEXT)][:MOST_EMBEDS]
    fitted = [_fit(embed, ALL_TEXT) for embed in said]
    if sum(map(_size, fitted)) > ALL_TEXT:
        # Equal shares: one long text must not silence the ones after it.
        fitted = [_fit(embed, ALL_TEXT // len(said)) for embed in said]
    return fitted


def length(text: str) -> int:
    """In UTF-16 units, which is never less than what Discord may count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    return _joined(list(text), limit)


def _visible(sign: str) -> str:
    if sign.isspace():
        return " "
    return "" if unicodedata.category(sign) in {"Cc", "Cf", "Co", "Cs"} else sign


def _inert(sign: str, *, first: bool) -> str:
    if sign in MARKDOWN or (first and sign in AT_LINE_START):
        return f"\\{sign}"
    return f"@{INVISIBLE}" if sign == "@" else sign


def _joined(pieces: Sequence[str], limit: int) -> str:
    """Whole pieces only: an escape is never parted from what it escapes."""
    if sum(map(length, pieces)) <= limit:
        return "".join(pieces)
    kept, room = [], limit - len(ELLIPSIS)
    for piece in pieces:
        room -= length(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + ELLIPSIS[:limit]


class _Room:
    """Hands out what is left of an embed's characters."""

    def __init__(self, characters: int) -> None:
        self.left = characters

    def take(self, text: object, limit: int) -> str:
        taken = cut(str(text or ""), min(limit, self.left))
        self.left -= length(taken)
        return taken


def _fit(embed: Mapping[str, Any], characters: int) -> dict[str, Any]:
    """Empty when nothing of it would be seen. What comes first in here is shortened last."""
    room = _Room(characters)
    parts: dict[str, Any] = {
        "title": room.take(embed.get("title"), TITLE),
        "description": room.take(embed.get("description"), DESCRIPTION),
        "fields": _fields(embed.get("fields") or (), room),
    }
    for part, name, limit in (("footer", "text", FOOTER), ("author", "name", AUTHOR)):
        text = room.take((embed.get(part) or {}).get(name), limit)
        parts[part] = {name: text} if text else None
    parts = {name: part for name, part in parts.items() if part}
    if not parts:
        return {}
    kept = {name: embed[name] for name in ("url", "timestamp") if embed.get(name)}
    if (color := embed.get("color")) is not None:
        kept["color"] = min(max(int(color), 0), MAX_COLOR)
    return parts | kept


def _fields(fields: Sequence[Mapping[str, Any]], room: _Room) -> list[dict[str, Any]]:
    """Discord refuses a field without a name or a value."""
    fitted: list[dict[str, Any]] = []
    for field in fields[:MOST_FIELDS]:
        name = room.take(field.get("name") or INVISIBLE, FIELD_NAME)
        value = room.take(field.get("value") or INVISIBLE, FIELD_VALUE)
        if not (name and value):
            break
        fitted.append({"name": name, "value": value, "inline": bool(field.get("inline"))})
    return fitted


def _size(embed: Mapping[str, Any]) -> int:
    texts = [embed.get("title", ""), embed.get("description", "")]
    texts += [text for field in embed.get("fields", ()) for text in (field["name"], field["value"])]
    texts += [embed.get("footer", {}).get("text", ""), embed.get("author", {}).get("name", "")]
    return sum(map(length, texts))
