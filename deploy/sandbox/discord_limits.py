"""The documented limits of a webhook's message, answered the way Discord nests its errors."""

from typing import Any

from deploy.sandbox.wire import Json

EMBEDS_TOTAL = 6_000
TEXT_LIMITS = {"title": 256, "description": 4_096}
COLOR_MAX = 0xFFFFFF


def breaches(request: Json) -> Json:
    """Field names to errors; empty when the message is within the limits."""
    errors: Json = {}
    _too_long(errors, "content", request.get("content"), 2_000)
    name = request.get("username")
    if name is not None and not (isinstance(name, str) and 1 <= len(name) <= 80):
        errors["username"] = _error("BASE_TYPE_BAD_LENGTH", "Must be between 1 and 80 in length.")
    embeds = request.get("embeds") or []
    if not isinstance(embeds, list) or not all(isinstance(embed, dict) for embed in embeds):
        errors["embeds"] = _error("LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    elif len(embeds) > 10:
        errors["embeds"] = _error("BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    elif found := _in_embeds(embeds):
        errors["embeds"] = found
    return errors


def _in_embeds(embeds: list[Json]) -> Json:
    found = {str(at): errors for at, embed in enumerate(embeds) if (errors := _in_embed(embed))}
    if not found and sum(map(_length, embeds)) > EMBEDS_TOTAL:
        return _error("MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")
    return found


def _in_embed(embed: Json) -> Json:
    errors: Json = {}
    for name, limit in TEXT_LIMITS.items():
        _too_long(errors, name, embed.get(name), limit)
    for part, name, limit in (("footer", "text", 2_048), ("author", "name", 256)):
        inner: Json = {}
        _too_long(inner, name, (embed.get(part) or {}).get(name), limit)
        errors.update({part: inner} if inner else {})
    color = embed.get("color")
    if color is not None and not (isinstance(color, int) and 0 <= color <= COLOR_MAX):
        errors["color"] = _error("NUMBER_TYPE_MAX", "int value should be between 0 and 16777215.")
    if found := _in_fields(embed.get("fields") or []):
        errors["fields"] = found
    return errors


def _in_fields(fields: list[Json]) -> Json:
    if len(fields) > 25:
        return _error("BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length.")
    found: Json = {}
    for at, field in enumerate(fields):
        errors: Json = {}
        for name, limit in (("name", 256), ("value", 1_024)):
            if not field.get(name):
                errors[name] = _error("BASE_TYPE_REQUIRED", "This field is required")
            _too_long(errors, name, field.get(name), limit)
        found.update({str(at): errors} if errors else {})
    return found


def _length(embed: Json) -> int:
    texts = [embed.get(name) for name in TEXT_LIMITS]
    texts += [(embed.get("footer") or {}).get("text"), (embed.get("author") or {}).get("name")]
    texts += [field.get(name) for field in embed.get("fields") or [] for name in ("name", "value")]
    return sum(len(text) for text in texts if isinstance(text, str))


def _too_long(errors: Json, name: str, value: Any, limit: int) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        errors[name] = _error("STRING_TYPE_CONVERT", "Could not interpret this value as a string.")
    elif len(value) > limit:
        errors[name] = _error("BASE_TYPE_MAX_LENGTH", f"Must be {limit} or fewer in length.")


def _error(code: str, text: str) -> Json:
    return {"_errors": [{"code": code, "message": text}]}
