"""What an emulator is started with."""

import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from foundry_emulator.sandboxes.images import ImageMode

LifecycleKind = Literal["immediate", "looks", "seconds"]


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """When a new version leaves ``creating``: at once, after so many reads of it, or after so many seconds."""

    kind: LifecycleKind = "seconds"
    value: float = 0.1


def _scratch_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"foundry-emulator-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class EmulatorConfig:
    """Address, memory and pace of one emulator.

    ``images`` is what becomes of images that are no ``emulator://`` ones.
    ``lifecycle`` is in seconds of the emulator's own clock; what agents may take is in real ones.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    state_dir: Path | None = None
    tls: bool = False
    images: ImageMode = "strict"
    lifecycle: Lifecycle = Lifecycle()
    clock_speed: float = 1.0
    seed: int | None = None
    readiness_seconds: float = 25.0
    call_seconds: float = 120.0
    stop_grace_seconds: float = 2.0
    scratch: Path = field(default_factory=_scratch_folder)

    @property
    def folder(self) -> Path:
        """The folder of everything the emulator writes; it goes away at the end unless it was given."""
        # Agents have working folders of their own, so a relative path would mean another place to them.
        return (self.state_dir or self.scratch).absolute()

    @property
    def ca_path(self) -> Path:
        """The certificate of the authority that signed the emulator's own, written when ``tls`` is on."""
        return self.folder / "ca.pem"
