"""The examples of answers in the OpenAPI text: real answers, recorded by tests/tools/answers.py."""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI

ANSWERS = Path(__file__).with_name("answers.json")


class DescribedApp(FastAPI):
    """An app whose OpenAPI text has an example of every answer that went well."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI text; it is built once."""
        if self.openapi_schema is None:
            _add_examples(super().openapi())
        return super().openapi()


def is_json(answer: dict[str, Any]) -> bool:
    """Whether ``answer`` of an operation is JSON, and no problem."""
    return "application/json" in answer.get("content", {})


def _add_examples(described: dict[str, Any]) -> None:
    recorded = json.loads(ANSWERS.read_text("utf-8")) if ANSWERS.exists() else {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            for status, example in recorded.get(f"{method.upper()} {path}", {}).items():
                operation["responses"][status]["content"]["application/json"]["example"] = example
