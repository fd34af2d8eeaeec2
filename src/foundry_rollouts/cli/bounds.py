"""The bounds of a gate on a value, in words."""

from foundry_rollouts.cli.output import Item


def bounds_words(bounds: Item) -> str:
    """Return where the number has to lie, as ``at most 5, at most 1.2x stable's``."""
    words = (
        ("at least {:g}", bounds["min"]),
        ("at most {:g}", bounds["max"]),
        ("at least {:g}x stable's", bounds["at_least"]),
        ("at most {:g}x stable's", bounds["at_most"]),
    )
    return ", ".join(text.format(number) for text, number in words if number is not None)
