"""Any text fits, and a stranger's text only ever shows as itself."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.clients.discord_limits import ALL_TEXT, fit, length, safe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 3 %", "plain words, 3 %"),
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("**bold** _it_ `code` ~~s~~ ||spoiler||", r"\*\*bold\*\* \_it\_ \`code\` \~\~s\~\~ \|\|spoiler\|\|"),
        ("# title", r"\# title"),
        ("- item", r"\- item"),
        ("a - b", "a - b"),
        ("[text](https://evil.example)", "\\[text\\]\\(https:\u200b//evil.example\\)"),
        ("<@123> <#4>", "\\<@\u200b123\\> \\<\\#4\\>"),
        ("@everyone", "@\u200beveryone"),
        ("back\\slash", "back\\\\slash"),
        ("a\u202eb\u200bc\x00d\ufeffe\x1b[31m", "abcde\\[31m"),
        ("", ""),
    ],
)
def test_a_strangers_text_only_shows_as_itself(text: str, shown: str) -> None:
    assert shown == safe(text, 200)


def test_a_long_text_ends_with_an_ellipsis_within_its_limit() -> None:
    assert "abcd…" == safe("abcdefgh", 5)


def test_an_escape_is_never_parted_from_what_it_escapes() -> None:
    assert "abc…" == safe("abc*def", 5)


def test_signs_outside_of_the_first_plane_count_twice() -> None:
    assert "😀…" == safe("😀😀😀", 4)


@given(st.text(max_size=300), st.integers(1, 100))
def test_no_text_breaks_its_limit_or_smuggles_a_mention_in(text: str, limit: int) -> None:
    shown = safe(text, limit)
    assert length(shown) <= limit
    assert "@everyone" not in shown
    assert "://" not in shown
    assert "\n" not in shown


def sizes(embed: dict[str, Any]) -> int:
    texts = [embed.get("title", ""), embed.get("description", "")]
    texts += [text for field in embed.get("fields", []) for text in (field["name"], field["value"])]
    texts += [embed.get("footer", {}).get("text", ""), embed.get("author", {}).get("name", "")]
    return sum(map(length, texts))


HUGE: dict[str, Any] = {
    "title": "t" * 500,
    "description": "d" * 9000,
    "fields": [{"name": "n" * 300, "value": "v" * 2000}] * 30,
    "footer": {"text": "f" * 3000},
    "author": {"name": "a" * 300},
    "color": 0x1FFFFFF,
    "video": {"url": "https://unknown.example"},
}


def test_one_huge_embed_is_cut_to_every_limit() -> None:
    [embed] = fit([HUGE])
    assert (256, 4096) == (len(embed["title"]), len(embed["description"]))
    assert ALL_TEXT == sizes(embed)
    assert 0xFFFFFF == embed["color"]
    assert "video" not in embed


def test_ten_huge_embeds_share_what_a_message_may_hold_and_all_say_something() -> None:
    embeds = fit([HUGE] * 14)
    assert 10 == len(embeds)
    assert all(embed["title"] and embed["description"] for embed in embeds)
    assert sum(map(sizes, embeds)) <= ALL_TEXT


def test_what_fits_is_left_as_it_is() -> None:
    embed = {
        "title": "t",
        "description": "d",
        "fields": [{"name": "n", "value": "v", "inline": True}],
        "footer": {"text": "f"},
        "author": {"name": "a"},
        "url": "https://ours.example",
        "timestamp": "2026-11-21T00:00:00Z",
        "color": 7,
    }
    assert [embed] == fit([embed])


def test_embeds_that_say_nothing_are_left_out_and_fields_are_never_empty() -> None:
    [embed] = fit([{"color": 4}, {"fields": [{"name": "", "value": None}]}])
    assert [{"name": "\u200b", "value": "\u200b", "inline": False}] == embed["fields"]
