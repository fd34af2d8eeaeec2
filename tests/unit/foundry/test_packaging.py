"""The same code makes the same archive, whoever packs it."""

import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.packaging import Archive, pack, zipped

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1)


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@settings(deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=64), min_size=1, max_size=8), st.randoms())
def test_bytes_do_not_depend_on_the_order_of_files(contents: dict[str, bytes], chance: object) -> None:
    shuffled = sorted(contents, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert zipped({name: contents[name] for name in shuffled}).data == zipped(contents).data


def test_bytes_do_not_depend_on_time_umask_or_mode(tmp_path: Path) -> None:
    first = written(tmp_path / "one", main_dot_py="x", lib__a_dot_py="y")
    before = os.umask(0o077)
    try:
        second = written(tmp_path / "two", lib__a_dot_py="y", main_dot_py="x")
    finally:
        os.umask(before)
    (second / "main.py").chmod(0o755)
    os.utime(second / "main.py", (1, 1))
    assert pack(first).data == pack(second).data


def test_an_archive_has_1980_and_0644_everywhere_and_names_in_order(tmp_path: Path) -> None:
    archive = pack(written(tmp_path, b_dot_py="", A_dot_py="", a__z_dot_py=""))
    with zipfile.ZipFile(BytesIO(archive.data)) as opened:
        entries = opened.infolist()
    assert [entry.filename for entry in entries] == ["A.py", "a/z.py", "b.py"] == list(archive.names)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}


def test_the_bytes_are_those_of_every_earlier_release() -> None:
    assert zipped({"main.py": b"print('hi')\n"}).sha256 == KNOWN


KNOWN = "5929b7ed5bad81ddaa44e4b834a6490596c3adab7988575a53a43931d3ca93d6"


def test_what_is_ours_stays_here(tmp_path: Path) -> None:
    written(
        tmp_path,
        main_dot_py="",
        _dot_env="SECRET=1",
        _dot_git__config="",
        _dot_venv__x="",
        Dockerfile="",
        pkg____pycache____m_dot_pyc="",
        _dot_gitignore="*.tmp\n!keep.tmp\n",
        a_dot_tmp="",
        keep_dot_tmp="",
    )
    assert pack(tmp_path).names == ("keep.tmp", "main.py")


def test_an_agentignore_replaces_the_usual_rules(tmp_path: Path) -> None:
    written(tmp_path, main_dot_py="", Dockerfile="", notes_dot_md="", _dot_gitignore="main.py\n")
    (tmp_path / ".agentignore").write_text("\ufeffnotes.md\n.gitignore\n", encoding="utf-8")
    assert pack(tmp_path).names == ("Dockerfile", "main.py")


def test_links_are_left_out(tmp_path: Path) -> None:
    outside = written(tmp_path / "outside", secret_dot_txt="s")
    inside = written(tmp_path / "inside", main_dot_py="")
    (inside / "file").symlink_to(outside / "secret.txt")
    (inside / "folder").symlink_to(outside)
    assert pack(inside).names == ("main.py",)


def test_an_agentignore_that_is_a_link_is_refused(tmp_path: Path) -> None:
    written(tmp_path, main_dot_py="", rules="")
    (tmp_path / ".agentignore").symlink_to(tmp_path / "rules")
    with pytest.raises(UsageError, match="link"):
        pack(tmp_path)


def test_nothing_to_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to deploy"):
        pack(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        pack(tmp_path / "absent")


def test_extra_folders_come_along_whole(tmp_path: Path) -> None:
    written(tmp_path / "app", main_dot_py="")
    written(tmp_path / "wheels", lib__bin__x="", lib___dot_env="")
    assert pack(tmp_path / "app", {"packages": tmp_path / "wheels"}).names == (
        "main.py",
        "packages/lib/.env",
        "packages/lib/bin/x",
    )


def test_large_code_is_compressed_and_too_large_code_refused() -> None:
    assert len(zipped({"zeros": bytes(20_000)}, limit_bytes=10_000).data) < 10_000
    with pytest.raises(UsageError, match="250"):
        zipped({"noise": os.urandom(20_000)}, limit_bytes=10_000)


def test_a_zip_of_somebody_else_is_taken_as_it_is() -> None:
    data = zipped({"main.py": b"x"}).data
    assert Archive.of(data) == zipped({"main.py": b"x"})
    with pytest.raises(UsageError, match="no zip"):
        Archive.of(b"PK no")
