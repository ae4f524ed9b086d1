"""OpenAI, and all servers that speak its chat API, through the SDK `openai`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from anton_notebook.errors import CallFailed
from anton_notebook.llm.sdk_provider import Answer, Sdk
from anton_notebook.model.request import OLLAMA, OPENAI, Request, Response, parsed, text_of
from anton_notebook.model.usage import from_openai


class OpenAI(Sdk):
    """Models at OpenAI, or at a server that speaks its chat API (`base_url`: LM Studio, vLLM, OpenRouter, a gateway).

    >>> OpenAI(base_url="http://localhost:1234/v1").place
    'http://localhost:1234/v1'
    """

    name = OPENAI
    family = OPENAI
    package = "openai"
    official = "https://api.openai.com/v1"
    key_variables: tuple[str, ...] = ("OPENAI_API_KEY",)
    base_variable = "OPENAI_BASE_URL"

    def body(self, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
        messages = request.messages
        if request.system:
            messages = [{"role": "system", "content": request.system}, *messages]
        body: dict[str, Any] = {"model": request.model, "messages": messages}
        if request.tools:
            body["tools"] = request.tools
        return {**request.parameters, **body, "stream": True, "stream_options": {"include_usage": True}}, {}

    def _load(self) -> Any:
        import openai
        import openai.resources.chat.completions

        return openai

    def _client(self, key: str | None) -> Any:
        sdk = self._import()
        base = self.base_url if self.name == OPENAI else self.place
        return self._make(sdk.AsyncOpenAI, sdk, api_key=key, base_url=base)

    def _send(self, client: Any, body: dict[str, Any]) -> Any:
        return client.chat.completions.with_streaming_response.create(
            model=body["model"], messages=[], stream=True, extra_body=body
        )

    def _answer(self) -> Answer:
        return _Answer(self.name)


class Ollama(OpenAI):
    """Models served by ollama: at `$OLLAMA_HOST`, else on this machine."""

    name = OLLAMA
    official = "http://localhost:11434/v1"
    key_variables = ()
    base_variable = "OLLAMA_HOST"

    @property
    def place(self) -> str:
        found = self.base_url or os.environ.get(self.base_variable) or self.official
        found = found.replace("0.0.0.0", "localhost")  # where the server listens is no address to ask
        if "://" not in found:
            found = f"http://{found}" if ":" in found else f"http://{found}:11434"
        return found if found.rstrip("/").endswith("/v1") else found.rstrip("/") + "/v1"

    def _key(self) -> str | None:
        return super()._key() if self.api_key_env else "none"


class _Answer(Answer):
    def __init__(self, name: str) -> None:
        self._name = name
        self._about: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def event(self, name: str, data: dict[str, Any]) -> str:
        if data.get("error") or name == "error":
            said = data.get("error") or data
            text = said.get("message") if isinstance(said, dict) else said
            raise CallFailed(f"{self._name} broke off: {str(text)[:300]}", "stream", passing=True)
        added = ""
        for choice in data.get("choices") or ():
            index = choice.get("index", 0)
            found = self._choices.setdefault(
                index, {"index": index, "message": {"role": "assistant"}, "finish_reason": None}
            )
            text = self._delta(found["message"], choice.get("delta") or {})
            added += text if index == 0 else ""
            if choice.get("finish_reason"):
                found["finish_reason"] = choice["finish_reason"]
        self._about.update({k: v for k, v in data.items() if k != "choices" and v is not None})
        if self._choices and all(choice["finish_reason"] for choice in self._choices.values()):
            self.done = True
        return added

    def _delta(self, message: dict[str, Any], delta: dict[str, Any]) -> str:
        for name, value in delta.items():
            if name == "tool_calls":
                self._calls(message.setdefault("tool_calls", []), value or ())
            elif name != "role" and isinstance(value, str):
                message[name] = (message.get(name) or "") + value
            elif value is not None:
                message[name] = value
        return str(delta.get("content") or "")

    def _calls(self, calls: list[dict[str, Any]], pieces: Any) -> None:
        for piece in pieces:
            index = piece.get("index", len(calls))
            while len(calls) <= index < len(calls) + 1000:
                calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
            call, function = calls[index], piece.get("function") or {}
            call["id"] = piece.get("id") or call["id"]
            call["function"]["name"] += function.get("name") or ""
            call["function"]["arguments"] += function.get("arguments") or ""

    def whole(self, data: dict[str, Any]) -> None:
        self._choices = {i: dict(choice) for i, choice in enumerate(data["choices"])}
        if not isinstance(self._choices[0].get("message"), dict):
            raise ValueError("no message")
        self._about = {k: v for k, v in data.items() if k != "choices"}
        self.done = True

    def response(self) -> Response:
        choice = self._choices.get(0) or {}
        message = choice.get("message") or {}
        calls = [
            {
                "id": c.get("id"),
                "name": c["function"].get("name", ""),
                "arguments": parsed(c["function"].get("arguments")),
            }
            for c in message.get("tool_calls") or ()
            if isinstance(c.get("function"), dict)
        ]
        usage = self._about.get("usage") or {} if self.done else {}
        used = from_openai(usage if isinstance(usage, Mapping) else {}, self._about.get("service_tier"))
        text = text_of(message.get("content")) or str(message.get("refusal") or "")
        raw = {**self._about, "choices": list(self._choices.values())}
        return Response(text, calls, used, choice.get("finish_reason"), self._about.get("model"), raw)
