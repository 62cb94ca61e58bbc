"""From the model's text to leads. It may be cut, wrong or hostile: known fields of valid leads survive."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

SHARED_HOSTS = frozenset(
    {
        "facebook.com",
        "github.com",
        "google.com",
        "instagram.com",
        "linkedin.com",
        "medium.com",
        "sites.google.com",
        "tiktok.com",
        "x.com",
        "xing.com",
        "youtube.com",
    }
)
"""Where many companies have a page: such a website says nothing about which company it is."""

# The local part as most mail systems accept it, and a dotted host name; RFC 5322 allows far stranger ones.
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@"
    r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)
_HOST = re.compile(r"([^\W_]([\w-]{0,61}[^\W_])?\.)+[^\W\d_][\w-]{0,61}[^\W_]")
_LIST = re.compile(r'"leads"\s*:\s*\[')
_NEXT_ITEM = re.compile(r"[\s,]*(?=\{)")
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    if any(unicodedata.category(sign) in {"Cc", "Cs"} or sign in _BIDI_CONTROLS for sign in text):
        raise ValueError("control characters")
    return text


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("not an email address")
    return text


def _website(text: str) -> str:
    if text and not _HOST.fullmatch(host_of(text)):
        raise ValueError("not the address of a website")
    return text


def _text(longest: int, shortest: int = 1) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)


class Lead(BaseModel):
    """A lead as the model gave it; every field is needed, though a company may have no website."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    company: Annotated[str, _text(200), AfterValidator(_one_line)]
    website: Annotated[str, _text(300, shortest=0), AfterValidator(_one_line), AfterValidator(_website)]
    contact_name: Annotated[str, _text(200), AfterValidator(_one_line)]
    contact_title: Annotated[str, _text(200), AfterValidator(_one_line)]
    email: Annotated[str, _text(254), AfterValidator(_email)]
    country: Annotated[str, _text(100), AfterValidator(_one_line)]
    reason: Annotated[str, _text(1000), AfterValidator(_one_line)]
    score: int = Field(ge=0, le=100)

    @property
    def dedupe_key(self) -> str:
        """The same for leads of one company: its domain, or name and email when it has none of its own."""
        host = host_of(self.website)
        if host and host not in SHARED_HOSTS:
            return host
        return f"{self.company} {self.email}".lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one answer is worth."""

    leads: Sequence[Lead] = ()
    invalid: int = 0
    duplicates: int = 0
    readable: bool = True
    """False when not even the beginning of a list of leads was found."""


def host_of(website: str) -> str:
    """Lower case and without `www.`; empty when the address cannot be one of a website."""
    try:
        parts = urlsplit(website if "://" in website else f"https://{website}")
        host = (parts.hostname or "").removeprefix("www.").rstrip(".")
    except ValueError:
        return ""
    return host if parts.scheme in {"http", "https"} and "@" not in parts.netloc else ""


def parse(text: str, wanted: int) -> Answer:
    """At most `wanted` leads of different companies, in the model's order. Never raises."""
    items = _items(text)
    if items is None:
        return Answer(readable=False)
    leads: dict[str, Lead] = {}
    invalid = duplicates = 0
    for item in items:
        try:
            lead = Lead.model_validate(item)
        except ValidationError:
            invalid += 1
            continue
        if lead.dedupe_key in leads:
            duplicates += 1
        else:
            leads[lead.dedupe_key] = lead
    return Answer(leads=list(leads.values())[:wanted], invalid=invalid, duplicates=duplicates)


def _items(text: str) -> list[Any] | None:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return _items_of_cut(text)
    leads = whole.get("leads") if isinstance(whole, dict) else None
    return leads if isinstance(leads, list) else None


def _items_of_cut(text: str) -> list[Any] | None:
    """The whole items at the beginning of a list that was cut anywhere."""
    start = _LIST.search(text)
    if not start:
        return None
    items: list[Any] = []
    decoder, position = json.JSONDecoder(), start.end()
    while separator := _NEXT_ITEM.match(text, position):
        try:
            item, position = decoder.raw_decode(text, separator.end())
        except (ValueError, RecursionError):
            break
        items.append(item)
    return items
