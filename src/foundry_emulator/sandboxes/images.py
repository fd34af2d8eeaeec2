"""What becomes of an image: a behaviour of the emulator, a container, or a version that fails.

``emulator://`` images are behaviours in every mode. Others fail (``strict``), answer as ``emulator://echo`` does
(``echo``), or run in a container engine that is named (``podman``, ``buildah``).
"""

import re
import shutil
from pathlib import Path
from typing import Literal

from foundry_emulator.sandboxes.behaviours import SCHEME, Behaviour, ImageError, behaviour_of
from foundry_emulator.sandboxes.engines import ENGINES, Engine

ImageMode = Literal["strict", "echo", "podman", "buildah"]

_REFERENCE = re.compile(
    r"[a-z0-9]+(?:[._-][a-z0-9]+)*(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.IGNORECASE,
)


class Images:
    """One choice of what to do with images that name no behaviour."""

    def __init__(self, mode: ImageMode) -> None:
        self._mode = mode
        self.engine: Engine | None = ENGINES.get(mode)

    @property
    def missing_program(self) -> str | None:
        """The engine's program where it was asked for and is not installed."""
        is_missing = self.engine is not None and shutil.which(self.engine.program) is None
        return self.engine.program if self.engine and is_missing else None

    def runs_in_container(self, image: str) -> bool:
        """Tell whether an engine runs this image."""
        return self.engine is not None and not _names_behaviour(image)

    def behaviour(self, image: str) -> Behaviour:
        """Return how an image behaves that runs in the emulator itself; raise ``ImageError`` when it cannot."""
        if _names_behaviour(image):
            return behaviour_of(image)
        self._refuse(image)
        return Behaviour()

    async def prepare(self, image: str, folder: Path) -> None:
        """Have the image ready to start, or raise ``ImageError``."""
        if self.engine is None or _names_behaviour(image):
            self.behaviour(image)
            return
        self._refuse(image)
        await self.engine.fetch(image, folder)

    def _refuse(self, image: str) -> None:
        if self._mode == "strict":
            raise ImageError(
                f"cannot pull '{image}': the local Foundry runs emulator:// images and source code;"
                " started with --images echo, it answers for any image"
            )
        if not _REFERENCE.fullmatch(image):
            raise ImageError(f"cannot pull '{image}': this is no reference to an image")


def _names_behaviour(image: str) -> bool:
    return image.startswith(f"{SCHEME}:")
