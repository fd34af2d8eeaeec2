"""What the cloud's documents say of each method of the official SDK, and the plays that show it."""

from collections.abc import Awaitable, Callable

from official_sdk_flavours import Visitors

NOT_FOUND = "ResourceNotFoundError 404 not_found"
BAD = "HttpResponseError 400 invalid_request_error"
CLOSED = "403 agent_disabled"
BUSY = "ResourceExistsError 409 conflict"
NOBODY = "401 unauthorized"

#: Method or form of it (in brackets), and each refusal that the cloud's documents describe for it.
DOCUMENTED: dict[str, tuple[str, ...]] = {
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
    "agent's responses.create(stream)": (),
    "agent's responses.retrieve": ("NotFoundError 404 invalid_request_error",),
    "agent's responses.input_items.list": (),
    "agent's responses.cancel": ("BadRequestError 400 invalid_request_error",),
    "agent's responses.delete": (),
    "agent's conversations.create": (),
    "project's responses.create": (f"PermissionDeniedError {CLOSED}", "NotFoundError 404 not_found"),
    "project's conversations.create": (),
}
NEVER_ALONE = {"agents.update_details(to a draft)", "agent's responses.cancel"}  #: Only their refusal is documented.
OTHER_FEATURES = ("optimization", "microsoft365", "create_version_from_manifest")  #: Not of hosted agents' life.

Play = Callable[[Visitors], Awaitable[None]]
PLAYS: dict[str, tuple[Play, frozenset[str]]] = {}


def play(*methods: str) -> Callable[[Play], Play]:
    """Register what shows the success and every refusal of these methods."""

    def register(function: Play) -> Play:
        shown = {f"{method}: {refusal}" for method in methods for refusal in DOCUMENTED[method]}
        PLAYS[function.__name__] = function, frozenset(shown | (set(methods) - NEVER_ALONE))
        return function

    return register
