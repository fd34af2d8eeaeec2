"""What ``agent create`` makes a version of: an image, or a model and its instructions."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundry_rollouts.errors import UsageError
from foundry_rollouts.ports import PROMPT

if TYPE_CHECKING:
    from foundry_rollouts.foundry.definition import Definition, PromptDefinition

_WHOLE = {".json", ".yaml", ".yml"}  #: Endings of files that hold a definition; any other holds instructions.


def image_or_prompt(of_image: "Definition", model: str | None, prompt: Path | None) -> "Definition | PromptDefinition":
    """Return what the options say. Raises UsageError for both or neither, and for what only a container has."""
    from foundry_rollouts.foundry.definition import Definition, PromptDefinition

    if (of_image.image is None) == (model is None and prompt is None):
        raise UsageError("what to make a version of: give --image, or --model and --prompt for a prompt agent")
    if of_image.image is not None:
        return of_image
    if of_image != Definition():
        raise UsageError(
            "a prompt agent has no container: leave out --cpu, --memory, --protocol, --env, --idle-timeout"
        )
    fields = _read(prompt) if prompt else {}
    definition = PromptDefinition(fields | ({"model": model} if model else {}))
    if not definition.is_whole:
        raise UsageError(f"{prompt} names no model: add --model with the name of its deployment")
    return definition


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--prompt {path}: cannot be read: {error}") from None
    if path.suffix not in _WHOLE:
        return {"instructions": text}
    found = _parsed(path, text)
    if not isinstance(found, dict) or found.get("kind", PROMPT) != PROMPT:
        raise UsageError(f"--prompt {path}: no definition of a prompt agent: write model, instructions and so on")
    return found


def _parsed(path: Path, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise UsageError(f"--prompt {path}: {str(error).splitlines()[0]}") from None
