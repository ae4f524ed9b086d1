"""Secrets out of text: each known form, what only looks like one, the environment's values, and no text that takes long."""

from __future__ import annotations

import json
import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anton_notebook.redact import Redactor

ALNUM = "a1B2c3D4e5F6g7H8i9J0" * 5
HEX = "0123456789abcdef" * 4
# Put together here, so that no finished key stands in the source.
SECRETS = {
    "Anthropic key": "sk-" + "ant-api03-" + ALNUM[:60],
    "OpenAI key": "sk-" + "proj-" + ALNUM[:40],
    "OpenRouter key": "sk-" + "or-v1-" + HEX,
    "Langfuse key": "sk-" + "lf-" + ALNUM[:36],
    "LangSmith key": "lsv2" + "_pt_" + HEX[:40],
    "Hugging Face token": "hf" + "_" + ALNUM[:34],
    "Groq key": "gsk" + "_" + ALNUM[:40],
    "xAI key": "xai" + "-" + ALNUM[:40],
    "Perplexity key": "pplx" + "-" + ALNUM[:40],
    "Replicate token": "r8" + "_" + ALNUM[:37],
    "Pinecone key": "pcsk" + "_" + ALNUM[:40],
    "Google key of today": "AQ" + ".Ab8RN6" + ALNUM[:40],
    "Slack token of an app": "xapp" + "-1-A0123-456-" + HEX,
    "Twilio key": "SK" + (HEX + HEX)[:32].lower(),
    "Mailgun key": "key" + "-" + (HEX + HEX)[:32].lower(),
    "AWS key id": "AKIA" + "IOSFODNN7EXAMPLE",
    "Google key": "AIza" + ALNUM[:35],
    "Google token": "ya29" + "." + ALNUM[:40],
    "GitHub token": "ghp" + "_" + ALNUM[:36],
    "GitLab token": "glpat" + "-" + ALNUM[:20],
    "Slack token": "xoxb" + "-123456789012-" + ALNUM[:24],
    "Stripe key": "sk" + "_live_" + ALNUM[:24],
    "npm token": "npm" + "_" + ALNUM[:36],
    "PyPI token": "pypi-" + "AgE" + ALNUM[:60],
    "SendGrid key": "SG" + "." + ALNUM[:22] + "." + ALNUM[:43],
    "Databricks token": "dapi" + HEX[:32],
    "DigitalOcean token": "dop" + "_v1_" + HEX,
    "Vault token": "hvs" + "." + ALNUM[:24],
    "Notion token": "ntn" + "_" + ALNUM[:40],
    "Linear key": "lin" + "_api_" + ALNUM[:40],
    "Shopify token": "shpat" + "_" + HEX[:32],
    "Tailscale key": "tskey" + "-auth-" + ALNUM[:30],
    "Supabase token": "sbp" + "_" + HEX[:40],
    "Telegram token": "123456789" + ":AA" + ALNUM[:33],
    "web token": "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + ALNUM[:43],
}


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        'key="{}"',
        "Authorization: Bearer {}",
        "({})",
        "x\n{}\ny",
        "?k={}&b=1",
        "x\\n{}",
        "k%3D{}",
        "\x1b[31m{}\x1b[0m",
    ],
)
def test_keys_of_known_forms_are_taken_out_wherever_they_stand(kind: str, around: str) -> None:
    redactor = Redactor(environ={})
    secret = SECRETS[kind]
    text = redactor.text(around.format(secret))
    assert secret not in text
    assert secret[12:40] not in text
    assert redactor.count == 1
    assert "[redacted: " in text
    assert text.replace(text[text.index("[redacted") : text.index("]") + 1], "") == around.format("")


def test_words_in_which_a_key_seems_to_begin_stay() -> None:
    for text in ("task-management-for-a-whole-team", "a desk-top-with-some-more-things", "key-value-store", "SKIPPED"):
        assert Redactor({}).text(f"{text} x\\n{text}") == f"{text} x\\n{text}"


def test_cookies_signatures_and_passwords_of_addresses_are_taken_out() -> None:
    environ = {"DATABASE_URL": "postgres://bob:hunter2pw@db/x"}
    text = "Cookie: session=abcdef0123456789; ?sig=abcDEF123%2Bxyz01 https://bob:hun@ter2@host/ with hunter2pw\\npassword=x9!aaaaa"
    left = Redactor(environ).text(text)
    assert not [part for part in ("abcdef01", "abcDEF", "hun@", "ter2", "hunter2pw", "x9!") if part in left]


def test_private_keys_are_taken_out_as_a_whole_and_without_their_end_too() -> None:
    body = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc\n-----END RSA PRIVATE KEY-----"
    assert Redactor({}).text(f"a {body} b") == "a [redacted: private key] b"
    assert "MIIE" not in Redactor({}).text(body[:60])
    public = "-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA\n-----END CERTIFICATE-----"
    assert Redactor({}).text(public) == public


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("postgres://me:hunter2pass@db/x", "postgres://me:[redacted: password in an address]@db/x"),
        ("DB_PASSWORD=hunter2hunter", "DB_PASSWORD=[redacted: named secret]"),
        ('{"api_key": "abc123def456"}', '{"api_key": "[redacted: named secret]"}'),
        ("authorization: Basic dXNlcjpwYXNzd29yZDEyMw==", "authorization: Basic [redacted: authorization]"),
    ],
)
def test_what_follows_a_secrets_name_is_taken_out(text: str, left: str) -> None:
    assert Redactor({}).text(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "the task-manager and risk-assessment-of-the-whole-project-in-2026 were read",
        "token: Optional[str]",
        "password = get_password()",
        "max_tokens: 4096",
        "api_key=os.environ['OPENAI_API_KEY']",
        "https://example.org:8080/a@b",
        "sha256:" + HEX,
        "desk-lamp sk-short",
        "tokens=12345678",
        "b3f1c2d4-1111-2222-3333-444455556666",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    redactor = Redactor({})
    assert redactor.text(text) == text
    assert redactor.count == 0
    assert redactor.said() == ""


def test_values_of_the_environment_that_look_like_keys_are_taken_out_in_every_spelling() -> None:
    environ = {
        "COMPANY_API_KEY": "plain words+and/signs",
        "HOME": "/home/somebody",
        "SSH_AUTH_SOCK": "/run/agent.sock",
        "EDITOR": "an-editor-with-a-long-name",
        "SHORT_TOKEN": "abc",
        "ANYTHING": SECRETS["GitHub token"],
    }
    redactor = Redactor(environ)
    text = "plain words+and/signs plain%20words%2Band%2Fsigns cGxhaW4gd29yZHMrYW5kL3NpZ25z abc /home/somebody"
    left = redactor.text(text + " an-editor-with-a-long-name /run/agent.sock")
    assert left == " ".join(["[redacted: value of the environment]"] * 3) + (
        " abc /home/somebody an-editor-with-a-long-name /run/agent.sock"
    )
    assert redactor.count == 3
    assert redactor.said() == "3 secrets were taken out: 3 value of the environment"


def test_values_are_redacted_within_and_the_original_is_untouched() -> None:
    original = {"messages": [{"role": "user", "content": SECRETS["OpenAI key"]}], "secret": "abc123def456", "n": 1.5}
    before = json.dumps(original)
    redacted = Redactor({}).value(original)
    assert redacted == {
        "messages": [{"role": "user", "content": "[redacted: OpenAI key]"}],
        "secret": "[redacted: named secret]",
        "n": 1.5,
    }
    assert json.dumps(original) == before


@given(st.text(max_size=200), st.sampled_from(sorted(SECRETS)), st.text(max_size=200))
def test_no_surroundings_hide_a_key(before: str, kind: str, after: str) -> None:
    secret = SECRETS[kind]
    text = f"{before} {secret} {after}"
    assert secret not in Redactor({}).text(text)


@given(st.text(max_size=400))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = Redactor({}).text(text)
    assert Redactor({}).text(once) == once


def hostile() -> dict[str, str]:
    size, dice = 1_000_000, random.Random(7)
    made = {
        "every prefix": "".join(secret[:5] + " " for secret in SECRETS.values()),
        "long runs": "sk-" + "a" * 999 + " ",
        "web tokens without an end": "eyJ" * 400 + ".",
        "begins without ends": "-----BEGIN PRIVATE KEY----- ",
        "half a begin": "-----BEGIN ",
        "names": "password=api_key=token=",
        "names without values": "password: ",
        "underscored": "a_b_c_d_e_f_",
        "addresses": "://a:b",
        "ats": "://" + "a" * 190 + ":",
        "bearers": "bearer bearer  ",
        "digits": "1234567890:AA",
        "one letter": "a",
        "edges": "-_" * 50 + " ",
        "quotes": "token'='\"",
        "letters": "".join(dice.choice(string.printable) for _ in range(5000)),
    }
    return {name: (text * (size // len(text) + 1))[:size] for name, text in made.items()}


HOSTILE = hostile()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_megabyte_of_hostile_text_takes_seconds_not_minutes(kind: str) -> None:
    text = HOSTILE[kind]
    spent = []
    for _ in range(3):
        started = time.process_time()
        Redactor({}).text(text)
        spent.append(time.process_time() - started)
        if spent[-1] < 5:
            break
    # Linear work takes about 1 s under load, quadratic work takes minutes.
    assert min(spent) < 5, f"{min(spent):.2f} s"
