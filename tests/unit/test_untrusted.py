"""Text of others: no secret of it is kept, and no character of it does anything."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry_rollouts.untrusted import REDACTED, SECRETS, clean, redacted, visible, visible_json, visible_line

SAID = [
    "postgresql://h/db?user=u&password=hunter2secret",
    "postgresql+asyncpg://user:hunter2secret@h:5432/db",
    "postgresql://user:hunter2@secret-hunter2secret@h/db",
    "redis://:hunter2secret@h/0",
    "host=h user=u password=hunter2secret dbname=d",
    "host=h password='hunter2secret x' dbname=d",
    'Server=h;Database=d;User Id=u;Password="hunter2secret;x";Encrypt=true',
    "Server=h;Pwd=hunter2secret;",
    "https://blob.example/c?sv=2024&sig=hunter2secret%3D&se=1",
    "https://fn.example/api?code=hunter2secret",
    "https://x.example/?a=1&access_token=hunter2secret",
    "https://x.example/?X-Amz-Signature=hunter2secret",
    "AccountName=a;AccountKey=hunter2secret/abc==;EndpointSuffix=core.windows.net",
    "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=hunter2secret=",
    "Authorization: Bearer hunter2secretAAAA",
    "authorization: Basic hunter2secret==",
    '{"Authorization": "Bearer hunter2secret.abc"}',
    "called with bearer hunter2secretAAAA",
    "the api-key: hunter2secret is not valid",
    '{"api_key": "hunter2secret"}',
    "{'client_secret': 'hunter2secret'}",
    "Ocp-Apim-Subscription-Key: hunter2secret",
    "password%3Dhunter2secret",
    "incorrect key sk-hunter2secretAAAAAAAA",
    "token ghp_hunter2secretAAAAAAAAAAAA",
    "eyJhbGciOiJub25lIn0.hunter2secret.AAAA",
    "https://hooks.slack.com/services/T0/B0/hunter2secret",
    "whsec_hunter2secretAAAAAAAAAAAAAAAAAA",
]


@pytest.mark.parametrize("said", SAID)
def test_a_secret_that_others_repeat_is_blotted_out(said: str) -> None:
    assert "hunter2secret" not in redacted(said)
    assert REDACTED in redacted(said)
    assert redacted(redacted(said)) == redacted(said)


#: Parts of what looks like a secret, which chance alone would not put together.
PARTS = st.sampled_from(
    [
        "bearer ",
        "SharedAccessSignature ",
        "authorization",
        ": ",
        "=",
        "%3D",
        "://",
        "u:p@",
        "?sig=",
        ";token=",
        "password",
        "PassPhrase",
        "pwd",
        "api-key",
        "client_secret",
        "id_token",
        "accountkey",
        "subscription-key",
        "secret",
        "eyJ",
        "sk-",
        "gho_",
        "ghp_",
        "ghs_",
        "ghu_",
        "github_pat_",
        "glpat-",
        "xoxa-",
        "xoxs-",
        "whsec_",
        "AKIA",
        "AIza",
        "frt_",
        "sk_live_",
        "hooks.slack.com/services/",
        "==",
        "abcdefghijklmnop",
        ".abc",
        " ",
        "\N{KELVIN SIGN}",
        "a" * 86,
    ]
)


@given(st.lists(PARTS | st.text(max_size=3), max_size=8).map("".join))
def test_a_text_that_is_not_searched_holds_nothing_that_a_search_would_find(said: str) -> None:
    assert (redacted(said) != said) == any(
        (next(filter(None, found.groups()), "") + REDACTED) != found.group() for found in SECRETS.finditer(said)
    )


@pytest.mark.parametrize(
    "said",
    [
        "version 2 failed 7 of 20 calls: HTTP 500 server_error",
        "no answer within 5 s: http://127.0.0.1:8090/api/projects/local",
        "unexpected token: ','",
        "DefaultAzureCredential failed to retrieve a token from the included credentials",
        "asks for a login: name its credentials in the policy",
        "https://a.example:8443/x?api-version=v1&limit=3",
        "mail ops@example.org",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert clean(said) == said


EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202ea\u2066b\u2069\u200f\u061c\u2028\ufeff\x00\r\ud800\U000e0041"


def test_what_a_terminal_obeys_is_written_out() -> None:
    assert visible("\x1b[2J\u202e\x9b") == r"\x1b[2J\u202e\x9b"
    assert visible("a\tb\nc ä 漢 😀") == "a\tb\nc ä 漢 😀"
    assert visible_line("a\nb") == r"a\nb"
    assert all(unicodedata.category(each) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in visible(EVIL))


@given(st.text())
def test_nothing_of_any_text_does_anything(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    assert not any(unicodedata.category(each) == "Cc" and each not in "\n\t" for each in shown)
    assert not any(unicodedata.bidirectional(each) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
                   for each in shown)  # fmt: skip
    shown.encode()


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_means_the_same_when_it_is_made_visible(text: str) -> None:
    shown = visible_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(shown) == {"text": text}
    assert visible(shown) == shown
