"""Inner: the SDK's HTTP client without the work that each call repeats, a fifth of what a call takes.

An SDK gives its HTTP client whole headers and a whole body, and the client merges its own into them again for every
request. Here what it added once is added to all requests with the same headers. Cookies are not kept, so that no call
depends on another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

MOST = 32
_USUAL = frozenset({"headers", "content", "timeout"})
_EACH = frozenset({b"host", b"content-length"})


class _Added(NamedTuple):
    """What the client made of a first request."""

    request: Any
    stream: Any
    headers: list[tuple[bytes, bytes]]


def lean(kind: Any, **given: Any) -> Any:
    """A client of this class of `httpx` (or `httpx2`), made with these arguments. What is unusual goes the usual way."""
    own: dict[str, Any] = {"build_request": _build_request, "__doc__": kind.__doc__}
    if callable(getattr(kind, "_transport_for_url", None)):
        own["send"] = _send
    made = type(kind.__name__, (kind,), own)(**given)
    made._anton_usual, made._anton_added = kind, {}
    return made


def _build_request(self: Any, method: str, url: Any, **given: Any) -> Any:
    content, raw = given.get("content"), _raw(given.get("headers"))
    unusual = any(value is not None for name, value in given.items() if name not in _USUAL)
    if unusual or raw is None or not isinstance(content, bytes) or self.cookies:
        return self._anton_usual.build_request(self, method, url, **given)
    names = {name.lower() for name, _ in raw}
    like = (str(url), repr(given.get("timeout")), *names)
    found: _Added | None = self._anton_added.get(like)
    if found is None:
        request = self._anton_usual.build_request(self, method, url, **given)
        added = [(name, value) for name, value in request.headers.raw if name.lower() not in names | _EACH]
        if len(self._anton_added) < MOST and not names & _EACH:
            self._anton_added[like] = _Added(request, type(request.stream), added)
        return request
    request = type(found.request)(
        method,
        found.request.url,
        headers=[(b"Host", found.request.url.netloc), *raw, *found.headers, (b"Content-Length", b"%d" % len(content))],
        stream=found.stream(content),
        extensions=found.request.extensions,
    )
    request.headers.encoding = "utf-8"
    request.read()
    return request


def _raw(headers: Any) -> list[tuple[bytes, bytes]] | None:
    """Headers as bytes, where they are given as pairs or as an object of the client's own."""
    if not isinstance(headers, list):
        found: list[tuple[bytes, bytes]] | None = getattr(headers, "raw", None)
        return found
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
    except (AttributeError, ValueError):
        return None


async def _send(self: Any, request: Any, *, stream: bool = False, **given: Any) -> Any:
    if not stream or given or self.is_closed or self.auth is not None or request.url.userinfo:
        return await self._anton_usual.send(self, request, stream=stream, **given)
    if any(self.event_hooks.values()):
        return await self._anton_usual.send(self, request, stream=stream)
    response = await self._transport_for_url(request.url).handle_async_request(request)
    response.request = request
    return response
