"""``kubectl`` and ``helm``, the released programs, out of the environment ``kubernetes``."""

import io
import os
import platform
import tarfile
import zipfile
from functools import cache

import pytest

from environments import environment

#: The programs in the package are for this machine only.
IS_FOR_US = (platform.system(), platform.machine()) == ("Linux", "x86_64")


@cache
def cluster_program(name: str) -> str:
    """Return the path of ``kubectl`` or ``helm``; skips the test where the package has none for the machine."""
    if not IS_FOR_US:
        pytest.skip(f"{name} is had for Linux on x86-64 only: manifests and chart are not rendered")
    python = environment("kubernetes")
    path = python.parent / f"{name}-itself"
    if not path.exists():
        (archive,) = python.parents[1].glob("lib/*/site-packages/aws_cdk/*/_jsii/*.tgz")
        with tarfile.open(archive) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                content = programs.read(f"{name}/{name}")
        ours = path.with_suffix(f".{os.getpid()}")  # several workers may do the same
        ours.write_bytes(content)
        ours.chmod(0o755)
        ours.replace(path)
    return str(path)
