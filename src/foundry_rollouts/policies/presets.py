"""Presets: ordinary policies by one word. What a file says itself outweighs its preset, key by key."""

from typing import Any, Literal

PresetName = Literal["cautious", "standard", "fast"]

PRESETS: dict[str, dict[str, Any]] = {
    "cautious": {
        "steps": [
            {"weight": 10, "min": "10m", "max": "3h"},
            {"weight": 25, "min": "15m", "max": "3h"},
            {"weight": 50, "min": "30m", "max": "3h"},
            {"weight": 100, "min": "1h"},
        ],
        "deadline": "24h",
        "warm-up": "60s",
        "judge": {"false-rollback": "1%", "missed-bad": "1%", "tolerate": "1.2x", "bad": "1.5x + 0.5pp"},
        "gates": [{"error-rate": {"max": "10%"}}, {"latency": {}}, {"log-errors": {}}],
        "on-no-evidence": "pause",
    },
    "standard": {
        "steps": [
            {"weight": 10, "min": "1m", "max": "1h"},
            {"weight": 50, "min": "5m", "max": "1h"},
            {"weight": 100, "min": "30m"},
        ],
        "deadline": "6h",
        "warm-up": "60s",
        "sources": {"probe": {"every": "5s"}, "logs": {}},
        "judge": {"false-rollback": "1%", "missed-bad": "5%", "tolerate": "1.2x", "bad": "2x + 2pp"},
        "gates": [{"error-rate": {"max": "20%"}}, {"log-errors": {}}],
        "on-no-evidence": "hold",
    },
    "fast": {
        "steps": [
            {"weight": 20, "min": "1m", "max": "15m"},
            {"weight": 50, "min": "1m", "max": "15m"},
            {"weight": 100, "min": "5m"},
        ],
        "deadline": "1h",
        "warm-up": "30s",
        "judge": {"false-rollback": "2%", "missed-bad": "5%", "tolerate": "1.5x", "bad": "3x + 5pp"},
        "gates": [{"error-rate": {"max": "30%"}}],
        "on-no-evidence": "advance-if-not-gross",
    },
}
#: Gates of a preset that need a source which the file may have switched off.
_NEEDS = {"latency": "probe", "log-errors": "logs"}


def expanded(content: Any) -> Any:
    """Return a policy's content with the keys of its preset that it does not have itself."""
    if not isinstance(content, dict) or content.get("preset") not in PRESETS:
        return content
    preset = dict(PRESETS[content["preset"]])
    preset["gates"] = [gate for gate in preset["gates"] if _can_see(gate, content.get("sources"))]
    if "sources" in preset and "sources" in content:
        preset["sources"] = _with_keys_of(content["sources"], preset["sources"])
        return preset | content | {"sources": preset["sources"]}
    return preset | content


def _with_keys_of(sources: Any, preset: dict[str, dict[str, Any]]) -> Any:
    """Return the sources that a file names, each with the keys of the preset's that it does not have itself."""
    if not isinstance(sources, dict):
        return sources
    return {
        name: preset.get(name, {}) | source if isinstance(source, dict) else source for name, source in sources.items()
    }


def _can_see(gate: dict[str, Any], sources: Any) -> bool:
    needed = _NEEDS.get(next(iter(gate)))
    return needed is None or not isinstance(sources, dict) or needed in sources
