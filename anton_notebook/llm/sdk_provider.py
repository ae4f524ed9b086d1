"""Inner: what the providers with an SDK have in common: one attempt, streamed, with nothing hidden in it.

The SDK makes the client, the headers and the connection, and nothing else: it does not retry (`max_retries=0`), does not
follow redirects (the prompt would go along), and its typed answers are not used, because they drop and rename what they do
not know. The body goes out as JSON through `extra_body`, the answer is read from the raw stream. That is one path on every
major version of both SDKs, and the same bytes come out of all of them.
"""

from __future__ import annotations

import abc
import asyncio
import inspect
import json
import os
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any

from anton_notebook.errors import CallFailed, MissingKey, MissingSDK, UnknownProvider
from anton_notebook.llm.lean import lean
from anton_notebook.llm.scrub import EXCERPT, excerpt, is_address, scrubbed, told
from anton_notebook.llm.sse import Events, decode
from anton_notebook.model.request import Request, Response

OnText = Callable[[str], None]
TURNED_AWAY = frozenset({429, 503, 529})
PASSING = TURNED_AWAY | {408, 409, 500, 502, 504}


class Answer(abc.ABC):
    """An answer as it comes in."""

    done = False

    @abc.abstractmethod
    def event(self, name: str, data: dict[str, Any]) -> str:
        """Takes an event in and gives the text that it adds. Raises `CallFailed` where the event says so."""

    @abc.abstractmethod
    def whole(self, data: dict[str, Any]) -> None:
        """Takes an answer that was not streamed."""

    @abc.abstractmethod
    def response(self) -> Response:
        """The answer so far."""


class _Open:
    """The client of one event loop, and how many hold it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.holders = 0


class Sdk(abc.ABC):
    """A provider that is asked through its SDK. `async with provider:` keeps the connections open over several calls.

    `base_url` comes from code or from the SDK's environment variable, never from a trace. `api_key_env` names another
    environment variable for the key. The key is read by this process alone, goes to the SDK's client and nowhere else.
    """

    name: str
    family: str
    package: str
    official: str
    key_variables: tuple[str, ...]
    base_variable: str

    def __init__(self, *, base_url: str | None = None, api_key_env: str | None = None) -> None:
        self.base_url = base_url
        self.api_key_env = api_key_env
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Open] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._loaded = False

    # -- what a provider says of itself

    @abc.abstractmethod
    def body(self, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
        """The JSON that goes out for a request, and what had to be assumed to make it."""

    @abc.abstractmethod
    def _load(self) -> Any:
        """Imports the SDK, and of it what the first call would else import on the event loop."""

    @abc.abstractmethod
    def _client(self, key: str | None) -> Any:
        """A new client of the SDK."""

    @abc.abstractmethod
    def _send(self, client: Any, body: dict[str, Any]) -> Any:
        """An async context manager that sends and gives the raw streamed response."""

    @abc.abstractmethod
    def _answer(self) -> Answer:
        """An empty answer."""

    @property
    def place(self) -> str:
        """The address that is asked."""
        return self.base_url or os.environ.get(self.base_variable) or self.official

    @property
    def cache_key(self) -> str:
        """What an answer depends on besides the request."""
        return f"{self.name} {self.place.rstrip('/')}"

    @property
    def shown_place(self) -> str:
        """The address as it is told: without a name, a password and a key that may stand in it."""
        return told(self.place)

    def __repr__(self) -> str:
        where = f"base_url={told(self.base_url)!r}" if self.base_url else ""
        return f"{type(self).__name__}({where})"

    # -- clients

    def _own(self) -> _Open:
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._clients.get(loop)
        if found is None:
            key = self._key()
            if not is_address(self.place):
                raise UnknownProvider(
                    f"{self.name} cannot be asked at {self.shown_place!r}, which is no address such as {self.official}; "
                    f"give the right base_url, or set {self.base_variable} to it"
                )
            found = _Open(self._client(key))
            with self._lock:
                self._clients[loop] = found
        return found

    async def __aenter__(self) -> Sdk:
        if not self._loaded:
            await asyncio.to_thread(self._import)  # seconds, during which the loop goes on
            self._loaded = True
        self._own().holders += 1
        return self

    def _import(self) -> Any:
        """The SDK."""
        try:
            return self._load()
        except ImportError as error:
            raise MissingSDK(
                f"the package {self.package!r} is needed to ask {self.name}: pip install {self.package} ({error})"
            ) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        held = self._clients.get(loop)
        if held is not None:
            held.holders -= 1
            if held.holders <= 0:
                with self._lock:
                    self._clients.pop(loop, None)
                await held.client.close()

    def check(self) -> None:
        """Raises `MissingKey` where there is no key, or one that cannot be sent."""
        self._key()

    def _key(self) -> str | None:
        """The key for the SDK's client, where it is not one that the SDK finds by itself."""
        names = (self.api_key_env,) if self.api_key_env else self.key_variables
        found = next(((name, value) for name in names if name and (value := os.environ.get(name))), None)
        if found is None:
            if self.place.rstrip("/") != self.official and not self.api_key_env:
                return "none"  # a server of one's own wants no key, but the SDK does
            if not self.api_key_env and self._finds_credentials():
                return None
            raise MissingKey(
                f"no API key for {self.name}: the environment variable {names[0]} is not set; set it before Python starts "
                f"(or os.environ[{names[0]!r}] = ... in a cell that you do not save)"
            )
        name, value = found
        if not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
            raise MissingKey(
                f"the API key in {name} cannot be sent: it holds a space, a line end or a character outside ASCII "
                "(it is not shown here); copy it again"
            )
        return value

    def _finds_credentials(self) -> bool:
        return False

    def _transport(self, sdk: Any) -> Any:
        """The SDK's faster HTTP client where it has one and what it needs is installed, else its usual one."""
        faster = getattr(sdk, "DefaultAioHttpClient", None)
        if faster is not None:
            try:
                return lean(faster, follow_redirects=False)
            except (RuntimeError, ImportError, TypeError):
                pass
        return lean(sdk.DefaultAsyncHttpxClient, follow_redirects=False)

    def _make(self, kind: Any, sdk: Any, **given: Any) -> Any:
        """A client of this class that does nothing unasked: no retries, no redirects, no spans of its own."""
        if "open_telemetry" in inspect.signature(kind).parameters:
            given["open_telemetry"] = False
        return kind(**given, max_retries=0, http_client=self._transport(sdk))

    # -- one attempt

    async def complete(self, request: Request, *, on_text: OnText | None = None) -> Response:
        """Asks once. Raises `CallFailed`, `MissingKey`, `MissingSDK` or `TranslationError`."""
        body, _ = self.body(request)
        async with self:
            answer = self._answer()
            try:
                async with self._send(self._own().client, body) as raw:
                    await self._read(raw, answer, on_text)
            except CallFailed as error:
                error.args = (self._scrub(str(error)),)
                if error.partial is None and (so_far := _partial(answer)) is not None:
                    error.partial = so_far
                raise
            except asyncio.CancelledError:
                raise
            except Exception as error:
                raise self._explained(error, _partial(answer)) from None
        return answer.response()

    async def _read(self, raw: Any, answer: Answer, on_text: OnText | None) -> None:
        kind = str(raw.headers.get("content-type", "")).partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            await self._read_whole(raw, kind, answer, on_text)
            return
        events = Events()
        packed = raw.headers.get("content-encoding")
        async for chunk in raw.iter_bytes() if packed else raw.http_response.stream:
            try:
                for name, data in events.feed(chunk):
                    if data == b"[DONE]":
                        answer.done = True
                        continue
                    added = answer.event(name, decode(data))
                    if added and on_text is not None:
                        on_text(added)
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
                what = f"{type(error).__name__}: {error}"[:EXCERPT]
                raise CallFailed(
                    f"{self.name} sent an event that cannot be read ({what})", "stream", passing=True
                ) from None
        if not answer.done:
            raise CallFailed(
                f"{self.name} ended the stream before the answer was whole; it may have been billed",
                "cut",
                passing=True,
            )

    async def _read_whole(self, raw: Any, kind: str, answer: Answer, on_text: OnText | None) -> None:
        parts, size = [], 0
        async for chunk in raw.iter_bytes():
            parts.append(chunk)
            size += len(chunk)
            if size > (64 << 20):
                break
        body = b"".join(parts)
        text = body.decode("utf-8", "replace")
        if kind.endswith("json"):
            try:
                answer.whole(decode(body))
            except (ValueError, TypeError, KeyError, AttributeError, IndexError):
                shown = f"JSON that is no answer of a model: {excerpt(text)}" if text.strip() else "an empty body"
                raise CallFailed(self._scrub(f"{self.name} answered with {shown}"), "content", status=200) from None
            if on_text is not None and answer.response().text:
                on_text(answer.response().text)
            return
        shown = f"{kind or 'a body without a type'}: {excerpt(text)}" if text.strip() else "an empty body"
        raise CallFailed(
            self._scrub(f"{self.name} at {self.shown_place} answered with {shown}; is the address right?"),
            "content",
            status=200,
        )

    # -- what went wrong

    def _explained(self, error: Exception, partial: Response | None) -> Exception:
        status = getattr(error, "status_code", None)
        if isinstance(status, int):
            return self._status(error, status)
        links = _chain(error)
        inner = links[-1]
        said = self._scrub(" ".join(f"{type(inner).__name__}: {inner}"[:EXCERPT].split()).rstrip(": "))
        where = f"{self.name} at {self.shown_place}"
        if partial is not None:
            text = f"{self.name} broke the answer off ({said}); it may have been billed"
            return CallFailed(text, "cut", passing=True, partial=partial)
        names = " ".join(type(link).__name__ for link in links)
        lost = isinstance(inner, ConnectionResetError | BrokenPipeError | ConnectionAbortedError)
        if lost or any(word in names for word in ("Disconnected", "ProtocolError", "ReadError", "BadStatusLine")):
            return CallFailed(
                f"the connection to {where} was lost ({said}); it may have been billed", "connection", passing=True
            )
        if isinstance(inner, ssl.SSLError) or any(
            word in names for word in ("ConnectError", "ConnectorError", "gaierror", "ConnectionRefused")
        ):
            return CallFailed(f"cannot reach {where} ({said})", "connection", passing=True)
        if "Timeout" in names:
            return CallFailed(
                f"{where} did not answer in time ({said}); it may have been billed", "timeout", passing=True
            )
        return CallFailed(f"{where} could not be asked ({said})", "connection")

    def _status(self, error: Exception, status: int) -> CallFailed:
        headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
        if 300 <= status < 400:
            return CallFailed(
                f"{self.name} at {self.shown_place} answered with a redirect ({status}), which is not followed because the prompt "
                "would go along; give the right base_url",
                "redirect",
                status=status,
            )
        said = _said(getattr(error, "body", None)) or str(getattr(error, "message", "")) or "no reason given"
        wait = retry_after(headers)
        hint = {
            401: "; is the key right?",
            403: "; may this key use this model?",
            404: "; is the model's name right?",
        }.get(status, "")
        refused = headers.get("x-should-retry") == "false"
        return CallFailed(
            self._scrub(f"{self.name} answered {status}: {excerpt(said)}{hint}"),
            "status",
            status=status,
            turned_away=status in TURNED_AWAY and not refused,
            passing=status in PASSING and not refused,
            retry_after=wait,
        )

    def _scrub(self, text: str) -> str:
        """The text without any key that this provider could have sent."""
        names = {*self.key_variables, self.api_key_env or ""}
        return scrubbed(text, [os.environ.get(name, "") for name in names if name], self.place)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait; `None` where it says nothing that can be understood.

    >>> retry_after({"retry-after": "3"}), retry_after({"retry-after": "soon"})
    (3.0, None)
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        said = headers.get(name)
        if said is None:
            continue
        try:
            wait = float(said) / unit
        except ValueError:
            try:
                wait = parsedate_to_datetime(said).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if wait == wait and wait >= 0:
            return wait
    return None


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it, the first cause last."""
    out = [error]
    while len(out) < 10 and (cause := out[-1].__cause__ or out[-1].__context__) is not None:
        out.append(cause)
    return out


def _said(body: Any) -> str:
    """What an error's body says."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            said = inner.get("message") or inner.get("type")
            return str(said) if said else json.dumps(body, default=str)
        return str(inner)
    return body if isinstance(body, str) else ""


def _partial(answer: Answer) -> Response | None:
    try:
        found = answer.response()
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None
    return found if found.text or found.tool_calls else None
