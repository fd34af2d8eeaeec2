"""The file of credentials: what may stand in it, where a secret may go, and that no sentence holds one."""

from pathlib import Path

import pytest

from foundry_rollouts.core.model.sources import is_in_the_clear
from foundry_rollouts.errors import UsageError
from foundry_rollouts.signals.credentials import Credentials
from foundry_rollouts.signals.reported import SourceError

URL = 'url = "https://p.example"\n'


def kept(folder: Path, text: str) -> Credentials:
    (folder / "logins.toml").write_text(text)
    return Credentials(folder / "logins.toml")


async def test_a_token_a_password_and_a_certificate_alone(tmp_path: Path) -> None:
    both = f'[a]\n{URL}token = "t0ken"\n[b]\n{URL}username = "me"\npassword = "w0rd w0rd"\n'
    credentials = kept(tmp_path, both)
    credentials.check()
    token, basic = [await credentials.login(name, "https://p.example/x") for name in ("a", "b")]
    assert (token.header, basic.header) == ("Bearer t0ken", "Basic bWU6dzByZCB3MHJk")
    assert token.trust is basic.trust is None
    assert "t0ken" not in repr(token)
    assert basic.without_secrets("no w0rd w0rd, no bWU6dzByZCB3MHJk") == "no ***, no ***"


@pytest.mark.parametrize(
    ("place", "url", "is_within"),
    [
        ("https://p.example", "https://p.example/api/v1/query", True),
        ("https://p.example:443/", "https://p.example", True),
        ("https://p.example/team", "https://p.example/team/api", True),
        ("https://p.example/team", "https://p.example/team-b/api", False),
        ("https://p.example/team", "https://p.example/team/../other", False),
        ("https://p.example/team", "https://p.example/team/%2e%2e/other", False),
        ("https://p.example", "https://p.example.evil.example/", False),
        ("https://p.example", "https://p.example:8443/", False),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/x", True),
        ("https://p.example", "http://p.example/", False),
        ("https://p.example", "https://[bad", False),
    ],
)
async def test_a_secret_goes_to_its_own_address_only(tmp_path: Path, place: str, url: str, is_within: bool) -> None:
    credentials = kept(tmp_path, f'[a]\nurl = "{place}"\ntoken = "t0ken"\n')
    if is_within:
        assert (await credentials.login("a", url)).header == "Bearer t0ken"
    else:
        with pytest.raises(SourceError, match=f"credentials a are for {place}: this is another address"):
            await credentials.login("a", url)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('a = "s3cret"', "credentials a cannot be used: write [a], and below it keys with texts"),
        ("[a]\ntoken = 3", "credentials a cannot be used"),
        (f'[a]\n{URL}token = ""', "credentials a cannot be used"),
        (f'[a]\n{URL}bearer = "s3cret"', "credentials a: bearer is not known here: write url, token, "),
        ('[a]\ntoken = "s3cret"', "credentials a would go anywhere, or in the clear: write url with an https"),
        ('[a]\nurl = "http://p.example"\ntoken = "s3cret"', "credentials a would go anywhere, or in the clear"),
        ('[a]\nurl = "https://me:s3cret@p.example"\ntoken = "s3cret"', "credentials a would go anywhere"),
        ('[a]\nurl = "http://[bad"\ntoken = "s3cret"', "credentials a would go anywhere"),
        (f'[a]\n{URL}token = "s3cret"\ntoken-file = "f"', "credentials a have a secret twice"),
        (f"[a]\n{URL}", "credentials a need a token, or a username with its password, or a ca-file"),
        (f'[a]\n{URL}username = "me"', "credentials a need a token"),
        (f'[a]\n{URL}token = "s3cret"\nusername = "me"\npassword = "s3cret"', "credentials a need a token"),
        (f'[a]\n{URL}token = "s3cret\n', "logins.toml is not TOML (at line 3)"),
    ],
)
async def test_a_section_that_makes_no_sense_is_told_at_the_start_and_without_its_secret(
    tmp_path: Path, text: str, sentence: str
) -> None:
    credentials = kept(tmp_path, text)
    with pytest.raises(UsageError) as refused:
        credentials.check()
    assert str(refused.value).startswith(sentence)
    assert "s3cret" not in str(refused.value)
    with pytest.raises(SourceError):
        await credentials.login("a", "https://p.example")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f'[b]\n{URL}token = "s3cret"', "credentials a are not known: logins.toml has no section [a]"),
        (f'[a]\n{URL}token = "s3cret word"', "credentials a: the token is empty, or not one line without blanks"),
        (f'[a]\n{URL}token = "s3crét"', "credentials a: the token is empty, or not one line without blanks"),
        (f'[a]\n{URL}token-file = "gone"', "credentials a: gone cannot be read (FileNotFoundError)"),
        (f'[a]\n{URL}token-file = "empty"', "credentials a: the token is empty"),
        (f'[a]\n{URL}username = "me"\npassword-file = "empty"', "credentials a: the password is empty"),
        (f'[a]\n{URL}ca-file = "empty"', "credentials a: empty holds no certificates"),
        (f'[a]\n{URL}ca-file = "gone"', "credentials a: gone holds no certificates"),
    ],
)
async def test_a_secret_that_is_not_there_is_told_when_it_is_needed(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "empty").write_text("\n")
    credentials = kept(tmp_path, text)
    credentials.check()
    with pytest.raises(SourceError) as refused:
        await credentials.login("a", "https://p.example")
    assert str(refused.value).startswith(sentence)
    assert "s3cr" not in str(refused.value)


async def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    Credentials().check()
    with pytest.raises(SourceError, match="no file of credentials is set"):
        await Credentials().login("a", "https://p.example")
    with pytest.raises(UsageError, match=r"gone.toml cannot be read \(FileNotFoundError\)"):
        Credentials(tmp_path / "gone.toml").check()


@pytest.mark.parametrize(
    ("url", "is_so"),
    [
        ("https://p.example", False),
        ("http://127.0.0.1:9090/x", False),
        ("http://[::1]:9090", False),
        ("http://localhost", False),
        ("http://p.example", True),
        ("http://localhost.example", True),
        ("http://10.0.0.1", True),
        ("ftp://127.0.0.1", True),
        ("127.0.0.1", True),
    ],
)
def test_plain_http_is_for_this_machine_only(url: str, is_so: bool) -> None:
    assert is_in_the_clear(url) is is_so
