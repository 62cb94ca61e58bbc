"""A process that cannot be asked how it is does not start."""

import socket

import httpx2
import pytest

from contracts.process.health import serving
from contracts.process.settings import BadSettings, ProcessSettings
from tests.kit.sandbox import free_port


async def test_a_port_that_is_taken_stops_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadSettings) as refused:
            async with serving(ProcessSettings(http_port=port), {}):
                pass
    assert "cannot listen there, Address already in use" in str(refused.value)


async def test_a_free_port_is_listened_to_and_given_back() -> None:
    port = free_port()
    for _ in range(2):
        async with serving(ProcessSettings(http_port=port), {}), httpx2.AsyncClient() as http:
            assert 200 == (await http.get(f"http://127.0.0.1:{port}/live")).status_code
