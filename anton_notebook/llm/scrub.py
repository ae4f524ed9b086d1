"""Inner: what may be told of an address and of what a server said: never a key, a name or a password that stands in it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

EXCERPT = 300
_WHO = re.compile(r"://[^\s/]*@")
_MARKUP = re.compile(r"<[^>]{0,500}>")
_HEAD = 12
_LEAST = 8


def told(address: str) -> str:
    """An address without what may be secret in it: who asks, and what stands behind `?` and `#`.

    >>> told("https://me:pass@word@host:8080/v1?key=abc")
    'https://host:8080/v1'
    """
    scheme, sep, rest = address.rpartition("://")
    who, _, rest = rest.rpartition("@")
    if "?" in who or "#" in who:
        return f"{scheme}{sep}\u2026"
    return scheme + sep + re.split(r"[?#]", rest)[0]


def is_address(text: str) -> bool:
    """Whether a server can be asked there."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def scrubbed(text: str, keys: Iterable[str], address: str = "") -> str:
    """A text without these keys, also where it was cut within one, and without who asks at an address.

    Shorter keys than 8 characters are words such as `none`, which servers of one's own take.
    """
    text = _WHO.sub("://", text.replace(address, told(address)) if address else text)
    for key in keys:
        if len(key) < _LEAST:
            continue
        coded = base64.b64encode(key.encode("utf-8", "replace")).decode()
        for form in (key, json.dumps(key)[1:-1], coded):
            text = text.replace(form, "(key)")
            text = re.sub(rf"(?i){re.escape(form[:_HEAD])}[\w+/=.~-]*", "(key)", text)
    return text


def excerpt(text: str) -> str:
    """The beginning of what a server said, on one line and without markup."""
    plain = " ".join(_MARKUP.sub(" ", text[: 20 * EXCERPT]).split())
    return plain if len(plain) <= EXCERPT else plain[:EXCERPT] + "\u2026"
