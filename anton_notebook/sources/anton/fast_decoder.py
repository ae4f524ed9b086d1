"""Many lines at once into structs, where all are as anton writes them.

The decoder learns the words of the lines before it: a name that it knows it gives out as one object instead of a new text for
every line, and what is then looked up by these words needs no hashing again. A line with another word goes to the plain decoder.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from anton_notebook.sources.anton.line_schema import FAULTS, Plain, decode_plain, decode_plains
from anton_notebook.sources.tail import Lines

WORDS = ("agent_name", "tool_name", "provider", "model", "span_type", "finish_reason")
MOST = 512
ENOUGH = 128
_OPENS, _CLOSES = ord("{"), ord("}")
_FIELDS = msgspec.structs.fields(Plain)


class PlainDecoder:
    """See the module. One for a reader."""

    def __init__(self) -> None:
        self._known: dict[str, set[str | None]] = {name: {None} for name in WORDS}
        self._learned: msgspec.json.Decoder[Any] | None = None
        self._blocks = self._lessons = 0

    def lines(self, part: Lines) -> list[Plain]:
        """All lines decoded where all are plain, else none."""
        data, ends = part.data, part.ends
        try:
            if len(ends) == 1:
                return [decode_plain(data)]
            marks = np.frombuffer(data, np.uint8)
            # A value may spread over lines, and a line may hold two. But `}`, a newline and `{` follow each other nowhere inside
            # of a value: where all lines begin and end so, each holds at least one, and as many values as lines means one in each.
            if data[0] == _OPENS and (marks[ends - 1] == _CLOSES).all() and (marks[ends[:-1] + 1] == _OPENS).all():
                lines = self._block(data)
                if len(lines) == len(ends):
                    return lines
            return list(map(decode_plain, part.lines))
        except FAULTS:
            return []

    def _block(self, data: memoryview) -> list[Plain]:
        self._blocks += 1
        if self._learned is not None:
            try:
                lines: list[Plain] = self._learned.decode_lines(data)
                return lines
            except FAULTS:
                pass
        lines = decode_plains(data)
        if len(lines) >= ENOUGH and 8 * self._lessons <= self._blocks:
            self._learn(lines)
        return lines

    def _learn(self, lines: list[Plain]) -> None:
        self._lessons += 1
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for field in _FIELDS:
            kind: Any = field.type
            known = self._known.get(field.encode_name)
            if known is not None and len(known) <= MOST:
                known.update([getattr(line, field.encode_name) for line in lines])
                words = tuple(sorted(word for word in known if word is not None))
                if words and len(words) <= MOST:
                    kind = Literal[words] | None
            fields.append((field.encode_name, kind) if field.required else (field.encode_name, kind, field.default))
        self._learned = msgspec.json.Decoder(msgspec.defstruct("Learned", fields, gc=False, kw_only=True))
