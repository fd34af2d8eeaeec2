"""What the cloud's documents say of each method of the official SDK, and the plays that show it."""

from collections.abc import Awaitable, Callable

from official_sdk_flavours import Visitors

Methods = dict[str, tuple[str, ...]]

NOT_FOUND = "ResourceNotFoundError 404 not_found"
BAD = "HttpResponseError 400 invalid_request_error"
CLOSED = "403 agent_disabled"
BUSY = "ResourceExistsError 409 conflict"
NOBODY = "401 unauthorized"

FIXED = "BadRequestError 400 invalid_payload"
GONE = "NotFoundError 404 invalid_request_error"

#: The methods about prompt agents that every version of the SDK has, and their refusals.
OF_PROMPTS: Methods = {
    "agents.create_version(prompt)": (BAD,),
    "agents.list(prompt)": (),
    "agents.get(prompt)": (),
    "agents.list_versions(prompt)": (),
    "agents.get_version(prompt)": (NOT_FOUND,),
    "agents.delete_version(prompt)": (NOT_FOUND,),
    "agents.delete(prompt)": (NOT_FOUND,),
    "agent's responses.create(prompt)": (FIXED, "NotFoundError 404 not_found"),
    "agent's responses.create(prompt, stream)": (),
    "agent's responses.retrieve(prompt)": (GONE,),
    "agent's responses.input_items.list(prompt)": (),
    "agent's responses.cancel(prompt)": ("BadRequestError 400 invalid_request_error",),
    "agent's responses.delete(prompt)": (),
    "agent's conversations.create(prompt)": (),
    "project's responses.create(prompt)": (
        FIXED,
        "NotFoundError 404 not_found",
        "InternalServerError 500 server_error",
    ),
}

#: What the OpenAI client of a hosted agent calls, with every version of the SDK.
OF_RESPONSES: Methods = {
    "agent's responses.create(stream)": (),
    "agent's responses.retrieve": (GONE,),
    "agent's responses.input_items.list": (),
    "agent's responses.cancel": ("BadRequestError 400 invalid_request_error",),
    "agent's responses.delete": (),
    "agent's conversations.create": (),
}

#: Method or form of it (in brackets), and each refusal that the cloud's documents describe for it.
DOCUMENTED: Methods = {
    **OF_PROMPTS,
    "agents.update_details(prompt)": (BAD,),
    "agents.enable(prompt)": (),
    "agents.disable(prompt)": (),
    "agents.download_code(prompt)": ("ResourceExistsError 409 AgentNotCodeBased",),
    "agents.create_session(prompt)": (BAD,),
    "agents.list_sessions(prompt)": (),
    "agents.get_session_log_stream(prompt)": (NOT_FOUND,),
    "agents.list": (f"ClientAuthenticationError {NOBODY}",),
    "agents.get": (NOT_FOUND, f"ClientAuthenticationError {NOBODY}"),
    "agents.create_version": (BAD, "HttpResponseError 400 EnvVarReserved"),
    "agents.create_version(draft)": (),
    "agents.create_version_from_code": (BAD,),
    "agents.list_versions": (NOT_FOUND,),
    "agents.list_versions(include_drafts)": (),
    "agents.get_version": (NOT_FOUND,),
    "agents.delete_version": (NOT_FOUND, BUSY),
    "agents.delete": (NOT_FOUND, BUSY),
    "agents.delete(force)": (),
    "agents.download_code": (NOT_FOUND, "ResourceExistsError 409 AgentNotCodeBased"),
    "agents.update_details": (NOT_FOUND, BAD),
    "agents.update_details(to a draft)": (BAD,),
    "agents.enable": (NOT_FOUND,),
    "agents.disable": (NOT_FOUND,),
    "agents.create_session(version_indicator)": (
        NOT_FOUND,
        "HttpResponseError 424 session_not_ready",
        "HttpResponseError 500 session_creation_failed",
    ),
    "agents.create_session({})": (NOT_FOUND, f"HttpResponseError {CLOSED}"),
    "agents.get_session": (NOT_FOUND,),
    "agents.list_sessions": (NOT_FOUND,),
    "agents.stop_session": (NOT_FOUND,),
    "agents.delete_session": (),
    "agents.upload_session_file": (NOT_FOUND,),
    "agents.download_session_file": (NOT_FOUND,),
    "agents.list_session_files": (NOT_FOUND,),
    "agents.delete_session_file": (NOT_FOUND,),
    "agents.get_session_log_stream": (NOT_FOUND,),
    # An empty token never leaves the OpenAI client: it refuses to send without one.
    "agent's responses.create": (
        f"PermissionDeniedError {CLOSED}",
        "NotFoundError 404 not_found",
        "BadRequestError 400 invalid_request_error",
        "InternalServerError 500 server_error",
    ),
    **OF_RESPONSES,
    "project's responses.create": (f"PermissionDeniedError {CLOSED}", "NotFoundError 404 not_found"),
    "project's conversations.create": (),
}
#: Only their refusal is documented.
NEVER_ALONE = {
    "agents.update_details(to a draft)",
    "agent's responses.cancel",
    "agent's responses.cancel(prompt)",
    "agents.download_code(prompt)",
    "agents.create_session(prompt)",
    "agents.get_session_log_stream(prompt)",
    "beta.agents.create_session(prompt)",
}
OTHER_FEATURES = ("optimization", "microsoft365", "create_version_from_manifest")  #: Not of hosted agents' life.

Play = Callable[[Visitors], Awaitable[None]]
PLAYS: dict[str, tuple[Play, frozenset[str]]] = {}


def play(*methods: str, of: Methods = DOCUMENTED) -> Callable[[Play], Play]:
    """Register what shows the success and every refusal of these methods."""

    def register(function: Play) -> Play:
        PLAYS[function.__name__] = function, frozenset(documented({method: of[method] for method in methods}))
        return function

    return register


def documented(methods: Methods) -> set[str]:
    """Return each success and each refusal of these methods."""
    refusals = {f"{method}: {refusal}" for method, refusals in methods.items() for refusal in refusals}
    return refusals | (set(methods) - NEVER_ALONE)
