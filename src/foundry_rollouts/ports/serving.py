"""Which version served one call, as the headers of its first answer say. What they leave out stays unknown."""

from dataclasses import dataclass

NEWEST = "latest"  #: A wish for whichever version is the newest; no answer names it.


@dataclass(frozen=True, slots=True)
class Serving:
    """What an answer says of the version behind it; a header that is malformed or doubled says nothing."""

    resolved: str | None = None  #: The version that served.
    is_fallback: bool | None = False  #: True: the wish for a version was not obeyed. None: it cannot be read.
    how: str | None = None  #: The service's word for how the version was chosen.

    def objection(self, wish: str) -> str | None:
        """Return why it is not certain that ``wish`` was obeyed, in a few words; None: the answer says it was."""
        if self.is_fallback:
            return f"the service fell back to version {self.resolved}" if self.resolved else "the service fell back"
        if self.is_fallback is None or self.resolved is None:
            return "the answer does not say which version served"
        return None if wish in {NEWEST, self.resolved} else f"version {self.resolved} served"


UNTOLD = Serving()
