"""Claude, through the SDK `anthropic`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from anton_notebook.errors import CallFailed
from anton_notebook.llm.sdk_provider import Answer, Sdk
from anton_notebook.model.request import ANTHROPIC, SYSTEM, Request, Response, parsed
from anton_notebook.model.usage import from_anthropic

MAX_TOKENS = 4096
"""Sent where the recording lacks `max_tokens`, which this API requires."""

_CREDENTIALS = (
    "ANTHROPIC_PROFILE",
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_IDENTITY_TOKEN",
    "ANTHROPIC_IDENTITY_TOKEN_FILE",
)


class Anthropic(Sdk):
    """Claude at Anthropic, or at a server that speaks the same API (`base_url`).

    >>> Anthropic(base_url="http://localhost:8080").place
    'http://localhost:8080'
    """

    name = ANTHROPIC
    family = ANTHROPIC
    package = "anthropic"
    official = "https://api.anthropic.com"
    key_variables = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
    base_variable = "ANTHROPIC_BASE_URL"

    def body(self, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
        assumed: dict[str, Any] = {}
        messages, system = request.messages, request.system
        if system is None and messages and messages[0].get("role") in SYSTEM:
            system, messages = messages[0].get("content"), messages[1:]  # this API takes it beside the messages only
        parameters = dict(request.parameters)
        if parameters.get("max_tokens") is None:
            parameters["max_tokens"] = assumed["max_tokens"] = MAX_TOKENS
        body: dict[str, Any] = {"model": request.model, "messages": messages}
        if system:
            body["system"] = system
        if request.tools:
            body["tools"] = request.tools
        return {**parameters, **body, "stream": True}, assumed

    def _load(self) -> Any:
        import anthropic
        import anthropic.resources.messages

        return anthropic

    def _client(self, key: str | None) -> Any:
        sdk = self._import()
        token = (
            key is not None and not self.api_key_env and key != os.environ.get("ANTHROPIC_API_KEY") and key != "none"
        )
        credentials: dict[str, Any] = {} if key is None else {"auth_token": key} if token else {"api_key": key}
        return self._make(sdk.AsyncAnthropic, sdk, **credentials, base_url=self.base_url)

    def _send(self, client: Any, body: dict[str, Any]) -> Any:
        return client.messages.with_streaming_response.create(
            model=body["model"], max_tokens=body["max_tokens"], messages=[], stream=True, extra_body=body
        )

    def _answer(self) -> Answer:
        return _Answer()

    def _finds_credentials(self) -> bool:
        return any(os.environ.get(name) for name in _CREDENTIALS)


class _Answer(Answer):
    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: list[dict[str, Any]] = []
        self._json: dict[int, list[str]] = {}

    def event(self, name: str, data: dict[str, Any]) -> str:
        kind = data.get("type", name)
        if kind == "content_block_delta":
            return self._delta(data["index"], data["delta"])
        if kind == "message_start":
            self._message = dict(data["message"])
            self._blocks = list(self._message.get("content") or [])
        elif kind == "content_block_start":
            self._blocks.append(dict(data["content_block"]))
            return str(data["content_block"].get("text") or "") if data["content_block"].get("type") == "text" else ""
        elif kind == "content_block_stop":
            pieces = self._json.pop(data["index"], None)
            if pieces is not None:
                self._blocks[data["index"]]["input"] = parsed("".join(pieces))
        elif kind == "message_delta":
            self._message.update(data["delta"])
            if isinstance(data.get("usage"), Mapping):
                before = self._message.get("usage") or {}
                self._message["usage"] = {**before, **{k: v for k, v in data["usage"].items() if v is not None}}
        elif kind == "message_stop":
            self.done = True
        elif kind == "error":
            said = data.get("error") or {}
            overloaded = said.get("type") == "overloaded_error"
            raise CallFailed(
                f"anthropic broke off: {said.get('type', 'error')}: {str(said.get('message', ''))[:300]}",
                "stream",
                status=529 if overloaded else None,
                turned_away=overloaded and not self._blocks,
                passing=True,
            )
        return ""

    def _delta(self, index: int, delta: dict[str, Any]) -> str:
        block, kind = self._blocks[index], delta.get("type")
        if kind == "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
            return str(delta["text"])
        if kind == "input_json_delta":
            self._json.setdefault(index, []).append(delta["partial_json"])
        elif kind == "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        elif kind == "signature_delta":
            block["signature"] = delta["signature"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        return ""

    def whole(self, data: dict[str, Any]) -> None:
        if not isinstance(data.get("content"), list):
            raise ValueError("no content")
        self._message, self._blocks, self.done = dict(data), [dict(block) for block in data["content"]], True

    def response(self) -> Response:
        usage = self._message.get("usage") or {} if self.done else {}
        text = "".join(b.get("text") or "" for b in self._blocks if b.get("type") == "text")
        calls = [
            {"id": b.get("id"), "name": b.get("name"), "arguments": b.get("input")}
            for b in self._blocks
            if b.get("type") == "tool_use"
        ]
        used = from_anthropic(usage if isinstance(usage, Mapping) else {})
        raw = {**self._message, "content": self._blocks}
        return Response(text, calls, used, self._message.get("stop_reason"), self._message.get("model"), raw)
