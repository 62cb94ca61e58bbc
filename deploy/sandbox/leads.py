"""Leads made from a request alone: the same request always yields the same leads."""

import hashlib
import json
import math
import random
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.sandbox.vocabulary import VOCABULARIES, Vocabulary

# Names reserved for each part, so that parts asked for side by side do not name the same company.
PART_SPAN = 100
REQUEST = re.compile(r"<request>(.*?)</request>", re.DOTALL)
TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "æ": "ae"})


class LeadQuery(BaseModel):
    """What the prompt asks for; unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    criteria: str
    language: str = "en"
    leads: int = Field(default=10, ge=0)
    part: int = Field(default=0, ge=0)
    avoid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Company:
    name: str
    domain: str
    sector: str
    city: str
    country: str


def query_in(prompt: str) -> LeadQuery:
    """The JSON object between <request> tags; a prompt without a readable one is itself the criteria."""
    found = REQUEST.search(prompt)
    try:
        return LeadQuery.model_validate_json(found.group(1)) if found else LeadQuery(criteria=prompt)
    except ValidationError:
        return LeadQuery(criteria=prompt)


def leads_for(query: LeadQuery) -> list[dict[str, Any]]:
    """At most PART_SPAN leads, none of a company in `avoid`."""
    words = VOCABULARIES.get(query.language.lower()[:2], VOCABULARIES["en"])
    avoided = {name.casefold().strip() for name in query.avoid}
    leads: list[dict[str, Any]] = []
    for offset in range(PART_SPAN):
        if len(leads) == query.leads:
            break
        company = company_at(query, words, offset)
        if company.name.casefold() not in avoided:
            leads.append(lead_at(query, words, company, offset))
    return leads


def company_at(query: LeadQuery, words: Vocabulary, offset: int) -> Company:
    """Walks through every name once before any repeats: the stride shares no factor with their count."""
    count = len(words.roots) * len(words.sectors) * len(words.cities)
    draw = drawing(query.criteria, words.cities)
    start, stride = draw.randrange(count), draw.randrange(count // 8, count) | 1
    while math.gcd(stride, count) != 1:
        stride += 2
    place = (start + (query.part * PART_SPAN + offset) * stride) % count
    place, root = divmod(place, len(words.roots))
    city_at, sector_at = divmod(place, len(words.sectors))
    city, country = words.cities[city_at]
    stem = f"{words.roots[root]} {words.sectors[sector_at]} {city}"
    legal_form = drawing(query.criteria, stem).choice(words.legal_forms)
    return Company(f"{stem} {legal_form}", f"{slug(stem)}.example", words.sectors[sector_at], city, country)


def lead_at(query: LeadQuery, words: Vocabulary, company: Company, index: int) -> dict[str, Any]:
    draw = drawing(query.criteria, query.language, query.part, index)
    given, family = draw.choice(words.given_names), draw.choice(words.family_names)
    return {
        "company": company.name,
        "website": f"https://www.{company.domain}",
        "contact_name": f"{given} {family}",
        "contact_title": draw.choice(words.titles),
        "email": f"{slug(given)}.{slug(family)}@{company.domain}",
        "country": company.country,
        "reason": draw.choice(words.reasons).format(sector=company.sector, city=company.city),
        "score": draw.randint(55, 98),
    }


def drawing(*seeds: object) -> random.Random:
    digest = hashlib.sha256(json.dumps(seeds).encode()).digest()
    return random.Random(digest)  # noqa: S311 - repeatable on purpose


def slug(text: str) -> str:
    plain = (
        unicodedata.normalize("NFKD", text.lower().translate(TRANSLITERATED))
        .encode("ascii", "ignore")
        .decode()
    )
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
