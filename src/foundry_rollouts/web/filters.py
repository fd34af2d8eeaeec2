"""What lists of pages share: filters that stand in the address."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import AfterValidator, BaseModel, Field

PAGE = 50

Text = Annotated[str, Field(max_length=200)]


def _a_day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


#: A date; what is none is left out.
Day = Annotated[str, AfterValidator(_a_day)]


class Filters(BaseModel):
    """Of what time, with which words, before which item; a field that is empty or no date narrows nothing down."""

    since: Day = ""
    until: Day = ""
    words: Text = ""
    before: Text = ""

    def common(self, limit: int) -> dict[str, Any]:
        """Return what every list asks of the store by these names."""
        return {
            "since": midnight(self.since),
            "until": midnight(self.until, days=1),
            "words": self.words.strip() or None,
            "before": self.before or None,
            "limit": limit,
        }

    def query(self, **but: str) -> str:
        """Return these filters as they stand in an address."""
        return urlencode({name: value for name, value in (self.model_dump() | but).items() if value})


def midnight(day: str, days: int = 0) -> datetime | None:
    """Return when a day begins, or so many days later; None where there is no day."""
    return datetime.combine(date.fromisoformat(day), time(), UTC) + timedelta(days=days) if day else None
