"""Builds the images without a container engine: buildah, in a base that mmdebstrap makes of Debian's packages.

Nothing of the machine but its packages is used: a store of our own, and no registry. pip finds in the build what it was
given before, so that the index of the machine, whichever that is, needs to be known to nobody.
"""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.repository import ROOT
from tools.system_packages import UNPACKED, found

BASE = "localhost/base:test"
PATIENCE = 900  #: Seconds for one step; mirror and index may be far away.
#: A moment that all files of an image get; any will do.
EPOCH = "1700000000"
PACKAGES = "python3,python3-venv,libstdc++6,ca-certificates"
LEFT_OUT = ("doc", "locale", "man")
PINNED = ("requirements-demo.txt", "requirements-build.txt")


class UnavailableError(Exception):
    """What this machine or its network does not offer; that says nothing about our files."""


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: ``name`` and ``digest``, how it is run, and its ``layers`` as digests of what they hold."""

    name: str
    digest: str
    layers: tuple[str, ...]
    config: dict[str, Any]


class Workshop:
    """A store of images in ``folder`` with the base in it, and the wheels that the requirements files pin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "policy.json"
        self.policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}), "utf-8")
        self.pip = folder / "pip.conf"
        self.pip.write_text("[global]\nno-index = true\nfind-links = /wheels\n", "utf-8")
        self.driver = "overlay"

    def prepare(self) -> None:
        """Make the base and fetch the wheels. Raises UnavailableError."""
        base = make_base()
        fetch_wheels(self.folder / "wheels")
        try:
            container = self.buildah("from", "scratch").strip()
            self.buildah("mount", container)
        except AssertionError:  # a file system that nothing can be laid over, as in a container: copies do as well
            self.driver = "vfs"
            container = self.buildah("from", "scratch").strip()
        self.buildah("add", "--quiet", container, str(base), "/")
        self.buildah("commit", "--quiet", "--rm", "--timestamp", EPOCH, container, BASE)

    def close(self) -> None:
        """Let go of what is mounted."""
        self.buildah("umount", "--all")

    def build(self, name: str, *options: str) -> Image:
        """Build the Dockerfile; what was built before is used again, where that is quicker than to build it."""
        if self.driver == "overlay":
            options = ("--layers", *options)
        mounts = (f"{self.folder / 'wheels'}:/wheels:ro", f"{self.pip}:/etc/pip.conf:ro")
        mounted = [word for mount in mounts for word in ("--volume", mount)]
        same = ("--pull-never", "--timestamp", EPOCH, "--build-arg", f"BASE={BASE}")
        self.buildah("bud", "--quiet", *same, *mounted, *options, "--tag", f"localhost/{name}", str(ROOT))
        about = json.loads(self.buildah("inspect", "--type", "image", f"localhost/{name}"))
        config = about["OCIv1"]
        return Image(name, about["FromImageID"], tuple(config["rootfs"]["diff_ids"]), config["config"])

    def root_of(self, image: Image) -> Path:
        """Return the folder that holds the files of ``image``."""
        return Path(
            self.buildah("mount", self.buildah("from", "--pull-never", f"localhost/{image.name}").strip()).strip()
        )

    def buildah(self, command: str, *words: str) -> str:
        """Run buildah on our store and return what it says."""
        store = (
            "--root",
            str(self.folder / "store"),
            "--runroot",
            str(self.folder / "run"),
            "--storage-driver",
            self.driver,
        )
        policy = ("--signature-policy", str(self.policy)) if command in {"from", "bud", "commit"} else ()
        variables = os.environ | {"BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self.folder)}
        run = subprocess.run(
            ["buildah", *store, command, *policy, *words],
            env=variables,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert run.returncode == 0, (
            f"buildah {command}: exit {run.returncode}\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
        )
        return run.stdout


def what_is_missing() -> str | None:
    """Return why no image can be built or run here; None when it can.

    An unpacked buildah will not do: it runs itself again without the variables that lead to its libraries.
    """
    if os.geteuid() != 0:
        return "it takes root"
    missing = [name for name in ("buildah", "mmdebstrap", "unshare", "setpriv", "chroot") if found(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: apt-get install buildah mmdebstrap)"
    mounting = ["unshare", "--mount", "--pid", "--fork", "mount", "--bind", "/tmp", "/tmp"]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        return "nothing may be mounted"
    return None


def make_base() -> Path:
    """Make a Debian of this machine's release with Python, kept as an archive. Raises UnavailableError."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        raise UnavailableError(f"the base is made of Debian's packages, and this is {release.get('NAME')}")
    kept = UNPACKED / f"base-{release['VERSION_CODENAME']}.tar"
    if not kept.exists():
        half = kept.with_suffix(".half.tar")
        kept.parent.mkdir(exist_ok=True)
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
        words = ["--quiet", "--variant=essential", f"--include={PACKAGES}", "--dpkgopt=force-unsafe-io", *excluded]
        command = [found("mmdebstrap") or "mmdebstrap", *words, release["VERSION_CODENAME"], str(half)]
        attempt(command, "mmdebstrap makes no base")
        half.rename(kept)
    return kept


def fetch_wheels(folder: Path) -> None:
    """Fetch what the image is made of, for Debian's Python, from the index of the machine. Raises UnavailableError."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    for name in PINNED:
        pins = ["--require-hashes", "--requirement", str(ROOT / "deploy" / name), "--dest", str(folder)]
        attempt([*pip, "--python-version", "3.11", *pins], "pip downloads no wheels")


def attempt(command: list[str], refusal: str) -> None:
    """Run ``command``, which needs the network. Raises UnavailableError with the last line of what it says."""
    tools = os.pathsep.join([str(UNPACKED / "usr" / "bin"), os.environ["PATH"], "/usr/sbin", "/sbin"])
    variables = os.environ | {"PATH": tools, "SOURCE_DATE_EPOCH": EPOCH}
    run = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if run.returncode:
        raise UnavailableError(f"{refusal}: {(run.stderr.strip().splitlines() or ['it says nothing'])[-1]}")
