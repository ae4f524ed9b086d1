"""Inner: values as JSON text and back, with what is large or shared kept apart.

JSON alone cannot hold bytes, tuples, NaN or keys that are no text: these are written as objects of one key that begins with `$`.
Texts and objects of `LARGE` bytes and more are kept once under the hash of their JSON (`$ref`). Lists are kept as chains, each
link under the hash of all items up to it (`$chain`): two lists that begin alike share their beginning.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Protocol

from anton_notebook.errors import CheckpointError

LARGE = 256
DEEPEST = 200


class Parts(Protocol):
    """Where the parts are kept."""

    def put_chunk(self, text: bytes) -> bytes:
        """Keeps a text; gives its id."""

    def put_chain(self, items: list[bytes]) -> bytes:
        """Keeps a list of one item or more; gives the id of its last link."""

    def chunk(self, name: bytes) -> bytes:
        """The text of this id."""

    def chain(self, name: bytes, length: int) -> list[bytes]:
        """The items up to the link of this id."""


def chunk_id(text: bytes) -> bytes:
    """The id of a text that is kept apart (20 bytes)."""
    return hashlib.blake2b(text, digest_size=20).digest()


def link_ids(items: list[bytes]) -> list[bytes]:
    """The ids of a chain's links, first to last: each covers all items up to it."""
    before, out = b"", []
    for item in items:
        before = hashlib.blake2b(before + item, digest_size=20, person=b"link").digest()
        out.append(before)
    return out


def dumps(value: Any) -> bytes:
    """The one spelling of a packed value."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def pack(value: Any, parts: Parts, what: str) -> bytes:
    """The value as JSON text, its large parts put into `parts`. `CheckpointError` names the place of what cannot be kept."""
    try:
        return dumps(_packed(value, parts, what, [], False))
    except (ValueError, RecursionError) as error:  # a whole number of thousands of digits
        raise CheckpointError(f"{what} cannot be kept: {error}") from error


def unpack(text: bytes, parts: Parts) -> Any:
    """The value of `pack`'s text. `CheckpointError` where a part is missing or damaged."""
    try:
        return _unpacked(json.loads(text), parts, 0)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error, AttributeError) as error:
        raise CheckpointError(f"what was kept is damaged: {error}") from error


def _packed(value: Any, parts: Parts, path: str, above: list[int], apart: bool = True) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _ref(str(value), parts) if apart and len(value) >= LARGE else str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$float": str(float(value))}
    if isinstance(value, bytes | bytearray | memoryview):
        coded = base64.b64encode(value).decode("ascii")
        return {"$bytes": _ref(coded, parts) if len(coded) >= LARGE else coded}
    if not isinstance(value, Mapping | list | tuple):
        raise CheckpointError(
            f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which JSON cannot hold; "
            "texts, numbers, bytes, true, false, None, lists, tuples and dicts can be kept"
        )
    if id(value) in above:
        raise CheckpointError(f"{path} contains itself; JSON cannot hold that")
    if len(above) >= DEEPEST:
        raise CheckpointError(f"{path} lies {DEEPEST} values deep; no more than that can be kept")
    above.append(id(value))
    out: Any
    if isinstance(value, Mapping):
        out = _object(value, parts, path, above)
        if apart and len(text := dumps(out)) >= LARGE:
            out = {"$ref": parts.put_chunk(text).hex()}
    else:
        items = [dumps(_packed(item, parts, f"{path}[{i}]", above)) for i, item in enumerate(value)]
        if len(items) > 1 and sum(map(len, items)) >= LARGE:
            out = {"$chain": parts.put_chain(items).hex(), "n": len(items)}
        else:
            out = [json.loads(item) for item in items]
        if isinstance(value, tuple):
            out = {"$tuple": out}
    above.pop()
    return out


def _object(value: Mapping[Any, Any], parts: Parts, path: str, above: list[int]) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {str(key): _packed(item, parts, f"{path}[{key!r}]", above) for key, item in value.items()}
    pairs = []
    for key, item in value.items():
        if not isinstance(key, str | int | float | bytes | bool | tuple | None):
            raise CheckpointError(f"a key in {path} is a {type(key).__qualname__}, which cannot be kept")
        name = f"{path}[{key!r}]"
        pairs.append([_packed(key, parts, f"the key {key!r} in {path}", above), _packed(item, parts, name, above)])
    return {"$dict": pairs}


def _ref(text: str, parts: Parts) -> dict[str, str]:
    return {"$ref": parts.put_chunk(dumps(text)).hex()}


def _unpacked(value: Any, parts: Parts, depth: int) -> Any:
    if depth > 4 * DEEPEST:
        raise ValueError("it is nested deeper than anything that is written here")
    if isinstance(value, list):
        return [_unpacked(item, parts, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if not tag.startswith("$"):
        return {key: _unpacked(item, parts, depth + 1) for key, item in value.items()}
    inner = value[tag]
    if tag == "$ref":
        return _unpacked(json.loads(parts.chunk(bytes.fromhex(inner))), parts, depth + 1)
    if tag == "$chain":
        items = parts.chain(bytes.fromhex(inner), int(value["n"]))
        return [_unpacked(json.loads(item), parts, depth + 1) for item in items]
    if tag == "$tuple":
        return tuple(_unpacked(inner, parts, depth + 1))
    if tag == "$bytes":
        return base64.b64decode(_unpacked(inner, parts, depth + 1), validate=True)
    if tag == "$float":
        return float(inner)
    if tag == "$dict":
        return {_unpacked(key, parts, depth + 1): _unpacked(item, parts, depth + 1) for key, item in inner}
    raise ValueError(f"{tag!r} is no word that is written here")


def named_parts(value: Any) -> tuple[set[bytes], set[bytes]]:
    """The ids of the chunks and of the chains that a packed value (decoded from JSON) names itself."""
    chunks: set[bytes] = set()
    chains: set[bytes] = set()
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, list):
            stack.extend(one)
        elif isinstance(one, dict):
            if isinstance(one.get("$ref"), str):
                chunks.add(bytes.fromhex(one["$ref"]))
            elif isinstance(one.get("$chain"), str):
                chains.add(bytes.fromhex(one["$chain"]))
            else:
                stack.extend(one.values())
    return chunks, chains
