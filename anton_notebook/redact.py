"""Secrets out of text, before it leaves: keys of known forms, what follows a password's name, and the values of this machine's
environment that look like keys. It works on copies; what was recorded stays as it was. Linear in the text, whatever the text.

>>> Redactor(environ={}).text("use sk-ant-api03-" + "a1B2" * 8)
'use [redacted: Anthropic key]'
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

_ESCAPED = r"(?<=\\[nrtbf])|(?<=\\u[0-9a-fA-F]{4})|(?<=%[0-9a-fA-F]{2})|(?<=[0-9[]m)"
"""Behind what stands for one sign: `\\n` in JSON within a text, `%3D` in an address, the end of a terminal's colour."""
_BEGINS = rf"(?:(?<![A-Za-z0-9_-])|{_ESCAPED})"
_EDGE = "(?#edge)"  # looked for only where the rest fits, so that the search is one for plain letters
_RUN = r"[A-Za-z0-9_-]"

# What it is called, the words one of which must be there, and the pattern. Every pattern begins at an edge and goes on with
# runs of what is no edge, so that no character is looked at more than a few times.
_FORMS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Anthropic key", ("sk-ant-",), rf"{_EDGE}sk-ant-{_RUN}{{16,}}"),
    ("OpenRouter key", ("sk-or-",), rf"{_EDGE}sk-or-{_RUN}{{16,}}"),
    ("Langfuse key", ("-lf-",), rf"{_EDGE}[sp]k-lf-{_RUN}{{16,}}"),
    ("OpenAI key", ("sk-",), rf"{_EDGE}sk-{_RUN}{{20,}}"),
    ("LangSmith key", ("lsv2_",), rf"{_EDGE}lsv2_{_RUN}{{20,}}"),
    ("Hugging Face token", ("hf_",), rf"{_EDGE}hf_[A-Za-z0-9]{{20,}}"),
    ("Groq key", ("gsk_",), rf"{_EDGE}gsk_[A-Za-z0-9]{{20,}}"),
    ("xAI key", ("xai-",), rf"{_EDGE}xai-{_RUN}{{20,}}"),
    ("Perplexity key", ("pplx-",), rf"{_EDGE}pplx-{_RUN}{{20,}}"),
    ("Replicate token", ("r8_",), rf"{_EDGE}r8_[A-Za-z0-9]{{20,}}"),
    ("Pinecone key", ("pcsk_",), rf"{_EDGE}pcsk_{_RUN}{{20,}}"),
    ("AWS key id", ("AKIA", "ASIA", "ABIA", "ACCA"), rf"{_EDGE}A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{{16}}(?![A-Za-z0-9])"),
    ("Google key", ("AIza",), rf"{_EDGE}AIza{_RUN}{{35}}(?!{_RUN})"),
    ("Google token", ("ya29.",), rf"{_EDGE}ya29\.{_RUN}{{20,}}"),
    ("GitHub token", ("gh",), rf"{_EDGE}gh[pousr]_[A-Za-z0-9]{{30,}}"),
    ("GitHub token", ("github_pat_",), rf"{_EDGE}github_pat_{_RUN}{{22,}}"),
    ("GitLab token", ("glpat-",), rf"{_EDGE}glpat-{_RUN}{{16,}}"),
    ("Slack token", ("xox",), rf"{_EDGE}xox[abeoprs]-{_RUN}{{10,}}"),
    ("Slack token", ("xapp-",), rf"{_EDGE}xapp-[0-9]-{_RUN}{{20,}}"),
    ("Slack hook", ("hooks.slack.com",), r"hooks\.slack\.com/services/[A-Za-z0-9/]{20,}"),
    ("Stripe key", ("k_live_", "k_test_"), rf"{_EDGE}[rs]k_(?:live|test)_[A-Za-z0-9]{{16,}}"),
    ("npm token", ("npm_",), rf"{_EDGE}npm_[A-Za-z0-9]{{30,}}"),
    ("PyPI token", ("pypi-AgE",), rf"{_EDGE}pypi-AgE{_RUN}{{40,}}"),
    ("SendGrid key", ("SG.",), rf"{_EDGE}SG\.{_RUN}{{16,}}\.{_RUN}{{16,}}"),
    ("Databricks token", ("dapi",), rf"{_EDGE}dapi[0-9a-f]{{32}}"),
    ("DigitalOcean token", ("do",), rf"{_EDGE}do[opr]_v1_[0-9a-f]{{32,}}"),
    ("Vault token", ("hvs.", "hvb."), rf"{_EDGE}hv[sb]\.{_RUN}{{20,}}"),
    ("Notion token", ("ntn_",), rf"{_EDGE}ntn_[A-Za-z0-9]{{20,}}"),
    ("Linear key", ("lin_api_",), rf"{_EDGE}lin_api_[A-Za-z0-9]{{20,}}"),
    ("Shopify token", ("shp",), rf"{_EDGE}shp(?:at|ca|pa|ss)_[0-9a-fA-F]{{20,}}"),
    ("Atlassian token", ("ATATT3",), rf"{_EDGE}ATATT3{_RUN}{{20,}}"),
    ("Tailscale key", ("tskey-",), rf"{_EDGE}tskey-{_RUN}{{16,}}"),
    ("Supabase token", ("sbp_",), rf"{_EDGE}sbp_[0-9a-f]{{30,}}"),
    ("age key", ("AGE-SECRET-KEY-1",), rf"{_EDGE}AGE-SECRET-KEY-1[A-Z0-9]{{40,}}"),
    ("Telegram token", (":AA",), rf"{_EDGE}[0-9]{{8,10}}:AA{_RUN}{{32,}}"),
    ("Azure key", ("AccountKey=",), r"(?<=AccountKey=)[A-Za-z0-9+/]{40,}={0,2}"),
    ("Azure signature", ("sig=",), r"(?<=[?&]sig=)[A-Za-z0-9%/+=_-]{16,}"),
    ("Google key", ("AQ.Ab",), rf"{_EDGE}AQ\.Ab{_RUN}{{20,}}"),
    ("Twilio key", ("SK",), rf"{_EDGE}SK[0-9a-f]{{32}}(?![A-Za-z0-9])"),
    ("Mailgun key", ("key-",), rf"{_EDGE}key-[0-9a-f]{{32}}(?![A-Za-z0-9])"),
    ("web token", ("eyJ",), rf"{_EDGE}eyJ{_RUN}{{8,}}\.{_RUN}{{8,}}\.{_RUN}{{8,}}"),
)
_COMPILED = tuple((name, words, re.compile(pattern), pattern.startswith(_EDGE)) for name, words, pattern in _FORMS)
_AT_EDGE = re.compile(_BEGINS)
_BEARER = re.compile(
    rf"(?i)(?:(?<![a-z0-9_])|{_ESCAPED})" r"((?:bearer|basic|token)[ \t]{1,3})([A-Za-z0-9._~+/-]{20,}={0,2})"
)
_NAMED = re.compile(
    rf"(?i)(?:(?<![a-z0-9])|{_ESCAPED})"
    r"""((?:[a-z0-9]{1,20}[_-]){0,3}(?:password|passwd|passphrase|pwd|secret|api[_-]?key|apikey|access[_-]?key|"""
    r"""auth[_-]?token|access[_-]?token|refresh[_-]?token|private[_-]?key|client[_-]?secret|credentials?|token)["']?"""
    r"""[ \t]{0,3}(?:=|:|=>)[ \t]{0,3}["']?)([^\s"'`,;(){}\[\]<>]{8,})"""
)
_IN_URL = re.compile(r"(?<=://)([^\s/:@]{0,200}:)([^\s/]{3,200})(?=@)")
_COOKIE = re.compile(
    r"(?i)(?<![a-z0-9])((?:set-)?cookie[\"']?[ \t]{0,3}:[ \t]{0,3}[\"']?[^\s=;\"']{1,100}=)([^\s;\"']{16,})"
)
_BEGIN, _END = "-----BEGIN ", "-----END "
_SECRETIVE = re.compile(
    r"(?i)(?:^|_)(?:key|apikey|token|secret|password|passwd|pwd|passphrase|credentials?|auth|dsn|pat|cookie|session)(?:$|_)"
)
_ENV_FORMS = re.compile("|".join(f"(?:{pattern.replace(_EDGE, _BEGINS)})" for _, _, pattern in _FORMS))
LEAST = 8  # characters of a value of the environment that is looked for


class Redactor:
    """Takes secrets out of texts and counts them: `count` in all, `kinds` by name.

    `environ`: whose values are looked for (default: this process's); only those whose name or form says that they are secret.
    `extra`: further texts to take out.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, extra: Sequence[str] = ()) -> None:
        self.kinds: Counter[str] = Counter()
        known = os.environ if environ is None else environ
        values = {value for name, value in known.items() if _secret(name, value)} | {one for one in extra if one}
        values |= {found[2] for value in known.values() if (found := _IN_URL.search(value)) and len(found[2]) >= LEAST}
        spelled = {form for value in values for form in _spellings(value)}
        self._values = sorted(spelled, key=lambda text: (-len(text), text))

    @property
    def count(self) -> int:
        """How many secrets have been taken out so far."""
        return self.kinds.total()

    def text(self, text: str) -> str:
        """The text without its secrets. A marker says of what kind each was."""
        for value in self._values:
            found = text.count(value)
            if found:
                self.kinds["value of the environment"] += found
                text = text.replace(value, "[redacted: value of the environment]")
        if _BEGIN in text:
            text = self._blocks(text)
        for name, words, pattern, edged in _COMPILED:
            if any(word in text for word in words):
                text = self._first(pattern, name, text, edged)
        if "://" in text and "@" in text:
            text = self._second(_IN_URL, "password in an address", text)
        if "ookie" in text:
            text = self._second(_COOKIE, "cookie", text)
        text = self._second(_BEARER, "authorization", text)
        return self._second(_NAMED, "named secret", text, _looks_made)

    def value(self, value: Any) -> Any:
        """A JSON value with every text in it redacted; keys too. Numbers, booleans and null stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self._under(str(name), inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner) for inner in value]
        return value

    def said(self) -> str:
        """A sentence about what was taken out, `""` where nothing was."""
        if not self.kinds:
            return ""
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.kinds.items()))
        return f"{self.count} secret{'s were' if self.count != 1 else ' was'} taken out: {kinds}"

    def _under(self, name: str, value: Any) -> Any:
        """A value whose key says what it is."""
        if isinstance(value, str) and len(value) >= LEAST and _SECRETIVE.search(name) and _looks_made(value):
            self.kinds["named secret"] += 1
            return "[redacted: named secret]"
        return self.value(value)

    def _first(self, pattern: re.Pattern[str], name: str, text: str, edged: bool) -> str:
        """Takes out what a pattern matches; if `edged`, only where a word begins."""

        def put(match: re.Match[str]) -> str:
            if edged and _AT_EDGE.match(text, match.start()) is None:
                return match[0]
            self.kinds[name] += 1
            return f"[redacted: {name}]"

        return pattern.sub(put, text)

    def _second(self, pattern: re.Pattern[str], name: str, text: str, made: Any = None) -> str:
        """Takes a pattern's second group out where it looks like a secret."""

        def put(match: re.Match[str]) -> str:
            value = match[2]
            if value.startswith("[redacted") or (made is not None and not made(value)):
                return match[0]
            self.kinds[name] += 1
            return f"{match[1]}[redacted: {name}]"

        return pattern.sub(put, text)

    def _blocks(self, text: str) -> str:
        """Private keys between their lines. Without a last line all that follows may be the key."""
        out, at = [], 0
        while (begin := text.find(_BEGIN, at)) >= 0:
            head = text.find("-----", begin + len(_BEGIN), begin + len(_BEGIN) + 60)
            if head < 0 or "PRIVATE KEY" not in text[begin:head]:
                out.append(text[at : begin + len(_BEGIN)])
                at = begin + len(_BEGIN)
                continue
            end = text.find(_END, head)
            close = -1 if end < 0 else text.find("-----", end + len(_END), end + len(_END) + 60)
            out += [text[at:begin], "[redacted: private key]"]
            self.kinds["private key"] += 1
            at = len(text) if close < 0 else close + 5
        return "".join([*out, text[at:]])


def _secret(name: str, value: str) -> bool:
    """Whether a variable of the environment holds a secret, by its name or its form."""
    if len(value) < LEAST or len(value) > 20_000 or value.startswith(("/", "~", "./")) or value.isdigit():
        return False
    if value.lower() in ("disabled", "required", "optional", "undefined", "keyring", "changeme", "password"):
        return False
    return bool(_SECRETIVE.search(name) or _ENV_FORMS.search(value))


def _spellings(value: str) -> set[str]:
    """A value as it is, as an address has it, in base64, and as JSON has it: tools answer with JSON, in which there may be more."""
    coded = base64.b64encode(value.encode("utf-8", "surrogateescape")).decode()
    spelled = {value, quote(value, safe="", errors="surrogateescape"), coded}
    inner = {value}
    for _ in range(3):
        inner = {json.dumps(one, ensure_ascii=ascii)[1:-1] for one in inner for ascii in (True, False)}
        spelled |= inner
    return spelled


def _looks_made(value: str) -> bool:
    """A secret is seldom a plain word: it has digits among letters, or signs of a password."""
    if value.startswith(("[redacted", "$", "%", "os.", "process.", "env.")):
        return False
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value) or any(c in "!@#$%^&*" for c in value)
