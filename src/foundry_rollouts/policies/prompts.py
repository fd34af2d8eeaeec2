"""The prompts file: what the probe asks, and what a good answer looks like."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field, RootModel, StrictInt, StringConstraints, field_validator

from foundry_rollouts.core.model.patterns import refuse_pattern, refuse_schema
from foundry_rollouts.core.model.sources import Expectation, Prompt
from foundry_rollouts.errors import UsageError
from foundry_rollouts.policies.documents import Document, Problem
from foundry_rollouts.policies.source_entries import STRICT
from foundry_rollouts.policies.units import wrong

PromptName = Annotated[str, StringConstraints(min_length=1, max_length=100)]

Seconds = Annotated[float, Field(gt=0, le=3600, strict=True)]


class ExpectEntry(BaseModel):
    """What a good answer looks like; what is left out is not checked."""

    model_config = STRICT

    status: StrictInt = Field(default=200, ge=100, le=599, description="The HTTP status.")
    contains: str | None = Field(default=None, min_length=1, description="Text that the answer contains.")
    regex: str | None = Field(default=None, min_length=1, description="A pattern found in the answer, in RE2 syntax.")
    schema_: dict[str, Any] | None = Field(
        default=None,
        alias="schema",
        description="A JSON schema for the answer, read as JSON; no $ref is fetched.",
    )
    max_seconds: Seconds | None = Field(default=None, description="A slower answer is a failure.")

    @field_validator("regex")
    @classmethod
    def _refuse_endless_pattern(cls, pattern: str | None) -> str | None:
        try:
            refuse_pattern(pattern or "")
        except UsageError as error:
            raise wrong(str(error)) from None
        return pattern

    @field_validator("schema_")
    @classmethod
    def _refuse_broken_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            refuse_schema(schema or {})
        except UsageError as error:
            raise wrong(str(error)) from None
        return schema


class PromptEntry(BaseModel):
    """One question."""

    model_config = STRICT

    name: PromptName = Field(description="Its name in history and failures.")
    input: Any = Field(description="Text is sent by Responses, any other JSON by Invocations.")
    expect: ExpectEntry = Field(default_factory=ExpectEntry, description="What a good answer looks like.")


class PromptList(RootModel[Annotated[list[PromptEntry], Field(min_length=1)]]):
    """The questions that the probe asks, in turn."""


def prompts_of(entries: PromptList) -> tuple[Prompt, ...]:
    """Return the prompts in the core's words."""
    return tuple(Prompt(entry.name, entry.input, _expectation(entry.expect)) for entry in entries.root)


def repeated_names(entries: PromptList, document: Document) -> list[str]:
    """Return a report line for each prompt whose name an earlier one has."""
    names = [entry.name for entry in entries.root]
    return [
        document.line(Problem((place, "name"), f"'{name}' is the name of an earlier prompt: choose another"))
        for place, name in enumerate(names)
        if name in names[:place]
    ]


def _expectation(entry: ExpectEntry) -> Expectation:
    most = timedelta(seconds=entry.max_seconds) if entry.max_seconds is not None else None
    return Expectation(entry.status, entry.contains, entry.regex, entry.schema_, most)
