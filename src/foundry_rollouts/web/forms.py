"""Forms of our pages: their fields, and that they come from a page that was drawn for this browser.

They are no multipart, so that nothing needs to be installed to read them.
"""

import hmac
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from foundry_rollouts.core.model.access import Way
from foundry_rollouts.errors import NotAllowedError, UsageError
from foundry_rollouts.web.access import person_of
from foundry_rollouts.web.sessions import FORM_KEY, key_of

FIELDS = 30  #: More than any form of ours has.


async def read_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form, each once; empty ones are left out. Raises UsageError for what is no form."""
    try:
        body = (await request.body()).decode("utf-8")
        fields = parse_qsl(body, keep_blank_values=True, max_num_fields=FIELDS, encoding="utf-8", errors="strict")
    except ValueError as error:
        raise UsageError("this is not a form of these pages") from error
    form: dict[str, str] = {}
    for name, value in fields:
        if name in form:
            raise UsageError("a field of the form is there twice")
        form[name] = value
    return {name: value.strip() for name, value in form.items() if value.strip()}


async def checked_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form that was drawn for who sends it. Raises NotAllowedError for any other."""
    form = await read_form(request)
    person = await person_of(request)
    if person.way is Way.SESSION:
        expected = key_of(request) or ""
        if not expected or not hmac.compare_digest(form.get(FORM_KEY, "").encode(), expected.encode()):
            raise NotAllowedError("this form was drawn before you signed in: open the page again and repeat it")
    return {name: value for name, value in form.items() if name != FORM_KEY}


Form = Annotated[Mapping[str, str], Depends(checked_form)]
