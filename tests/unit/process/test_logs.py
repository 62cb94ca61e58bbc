"""Values under names that tell of secrets never leave the process; all others do."""

from typing import Any

import pytest

from contracts.process.logs import hide_secrets


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "admin_password",
        "API_KEY",
        "api_key_file",
        "token",
        "webhook_token",
        "amqp_url",
        "url",
        "dsn",
    ],
)
def test_a_value_whose_name_holds_a_telling_word_is_hidden(key: str) -> None:
    assert {key: "***"} == hide_secrets(None, "info", {key: "s3cret"})


@pytest.mark.parametrize(
    "key", ["input_tokens", "tokens", "curl", "secretary", "idempotency_key", "purls_seen"]
)
def test_a_name_that_only_contains_the_letters_of_one_is_told(key: str) -> None:
    line: dict[str, Any] = {key: 17}
    assert {key: 17} == hide_secrets(None, "info", line)
