"""Those who answer requests: Anthropic, OpenAI and what speaks its API, ollama, a script, and providers of one's own.

A provider is any object with `async def complete(self, request: Request) -> Response`. It may have `name` (text), `family`
(`"anthropic"` or `"openai"`: requests are translated to these words), `cache_key` (what its answers depend on besides the
request; `None`: never kept) and be an asynchronous context manager (entered around a sweep). SDKs are imported when
somebody is asked, not before.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from anton_notebook.errors import UnknownProvider, did_you_mean
from anton_notebook.llm.anthropic import Anthropic
from anton_notebook.llm.openai import Ollama, OpenAI
from anton_notebook.llm.retry import Exhausted, Gate, Outcome, Policy, ask
from anton_notebook.llm.scripted import Scripted
from anton_notebook.llm.sdk_provider import Sdk
from anton_notebook.llm.translate import foreign, translated
from anton_notebook.model.request import ANTHROPIC, OLLAMA, OPENAI, Request, Response, provider_of

__all__ = [
    "Anthropic", "Exhausted", "Gate", "Ollama", "OpenAI", "Outcome", "Policy", "Provider", "Scripted", "Sdk", "ask",
    "family_of",
    "foreign", "get", "register", "translated",
]  # fmt: skip


@runtime_checkable
class Provider(Protocol):
    """Whoever answers requests."""

    async def complete(self, request: Request) -> Response:
        """Answers one request, once. An exception is the call's error."""
        ...


_lock = threading.Lock()
_makers: dict[str, Callable[[], Any]] = {ANTHROPIC: Anthropic, OPENAI: OpenAI, OLLAMA: Ollama}


def register(name: str, provider: Provider) -> None:
    """Lets `provider=name` mean this provider from now on, in this process.

    >>> register("parrot", Scripted(lambda request: request.prompt))
    >>> get("parrot")
    <Scripted: a function>
    """
    if not isinstance(provider, Provider):
        raise TypeError(f"a provider has a method complete(request), and {type(provider).__name__} has none")
    with _lock:
        _makers[provider_of(name, "")] = lambda: provider


def get(provider: str | Provider, model: str = "") -> Any:
    """The provider of this name, or the object itself. `UnknownProvider` names what is possible.

    A model of no known provider goes to the server that `OPENAI_BASE_URL` names, where that is set.
    """
    if not isinstance(provider, str):
        if not isinstance(provider, Provider):
            raise TypeError(f"provider= takes a name or an object with a method complete(request), found {provider!r}")
        return provider
    name = provider_of(provider, model)
    with _lock:
        maker = _makers.get(name)
        known = sorted(_makers)
    if maker is not None:
        return maker()
    if os.environ.get("OPENAI_BASE_URL"):
        return OpenAI()
    who = f"provider {name!r} is not known" if name else f"nobody is known to serve the model {model!r}"
    raise UnknownProvider(
        f"{who}{did_you_mean(name, known)}; possible: provider={' or '.join(repr(word) for word in known)}, an object with a "
        "method complete(request), or an OpenAI-compatible server: provider=anton_notebook.llm.OpenAI(base_url='http://...') or "
        "the environment variable OPENAI_BASE_URL"
    )


def family_of(provider: Any) -> str | None:
    """In whose words a provider (or the provider of this name) takes requests; `None` where it takes them as they are."""
    if isinstance(provider, str):
        return ANTHROPIC if provider == ANTHROPIC else OPENAI if provider in (OPENAI, OLLAMA) else None
    found = getattr(provider, "family", None)
    return found if found in (ANTHROPIC, OPENAI) else None
