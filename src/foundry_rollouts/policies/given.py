"""Files that a setting names: read whole, and one line for whatever keeps them from being read."""

from pathlib import Path


def text_of(path: Path) -> str:
    """Return the text of ``path``; raises ValueError with what is wrong, and how to fix it."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"there is no file {str(path)!r}: write it, or write the JSON itself") from None
    except UnicodeDecodeError:
        raise ValueError(f"{str(path)!r} is no UTF-8 text: save it as UTF-8") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no path"
        raise ValueError(f"{str(path)!r} cannot be read, {why}: fix its permissions") from None
