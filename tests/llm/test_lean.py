"""The HTTP client without repeated work sends what the SDK's own client would send."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from anton_notebook import llm
from anton_notebook.experiments.rerun import rerun
from anton_notebook.model.request import Request
from tests.support.servers.llm_server import LlmServer

PROVIDERS = {"anthropic": llm.Anthropic, "openai": llm.OpenAI}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with LlmServer() as made:
        yield made


def address(server: LlmServer, name: str) -> str:
    return server.url + ("/v1" if name == "openai" else "")


def request(text: str) -> Request:
    return Request("", "any", "Be kind", [{"role": "user", "content": text}], None, {"max_tokens": 9})


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("fast", [True, False])
def test_the_second_call_sends_the_headers_of_the_first(
    name: str, fast: bool, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdk = pytest.importorskip(name)
    if not fast:
        monkeypatch.delattr(sdk, "DefaultAioHttpClient", raising=False)
    provider = PROVIDERS[name](base_url=address(server, name))

    async def both() -> tuple[Any, Any, Any]:
        async with provider:
            client = provider._own().client
            first = await provider.complete(request("Grüße \u2028"))
            second = await provider.complete(request("Grüße \u2028"))
            third = await provider.complete(request("another length"))
            assert len(client._client._anton_added) == 1, "the first request is what the others are made after"
            return first.text, second.text, third.text

    assert asyncio.run(both()) == ("All good.",) * 3
    first, second, third = server.calls
    assert {"content-type", "content-length", "host", "accept", "user-agent"} <= {k.lower() for k in first.headers}
    own = {"x-stainless-idempotency-key", "idempotency-key"}
    assert {k: v for k, v in second.headers.items() if k.lower() not in own} == {
        k: v for k, v in first.headers.items() if k.lower() not in own
    }
    assert second.raw == first.raw and {k.lower() for k in third.headers} == {k.lower() for k in first.headers}
    assert int({k.lower(): v for k, v in third.headers.items()}["content-length"]) == len(third.raw)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_password_in_the_address_stands_in_no_row(name: str, server: LlmServer) -> None:
    for fault in ("401", "html", "reset", "redirect", "cut-json"):
        server.fault = fault
        place = address(server, name).replace("://", "://me:open-sesame@")
        df = rerun(request("Hi"), provider=PROVIDERS[name](base_url=place), progress=False)
        assert df["error"][0] and "open-sesame" not in df.to_json(), df["error"][0]
