"""What the first official SDK with hosted agents, 2.1.0, offers, and what the cloud's documents say of each method."""

from official_sdk_documented import BAD, BUSY, NOBODY, NOT_FOUND, OF_PROMPTS, OF_RESPONSES, Methods

UNAUTHORIZED = f"ClientAuthenticationError {NOBODY}"

#: Method or form of it (in brackets), and each refusal that is described for it. It cannot close an endpoint.
DOCUMENTED_OLD: Methods = {
    **OF_PROMPTS,
    "agents.list": (UNAUTHORIZED,),
    "agents.get": (NOT_FOUND, UNAUTHORIZED),
    "agents.create_version": (BAD, "HttpResponseError 400 EnvVarReserved"),
    "agents.list_versions": (NOT_FOUND,),
    "agents.get_version": (NOT_FOUND,),
    "agents.delete_version": (NOT_FOUND, BUSY),
    "agents.delete": (NOT_FOUND, BUSY),
    "beta.agents.patch_agent_details": (NOT_FOUND, BAD),
    "beta.agents.patch_agent_details(prompt)": (BAD,),
    "beta.agents.create_session(version_indicator)": (
        NOT_FOUND,
        "HttpResponseError 424 session_not_ready",
        "HttpResponseError 500 session_creation_failed",
    ),
    "beta.agents.create_session({})": (NOT_FOUND,),
    "beta.agents.create_session(prompt)": (BAD,),
    "beta.agents.get_session": (NOT_FOUND,),
    "beta.agents.list_sessions": (NOT_FOUND,),
    "beta.agents.delete_session": (),
    "beta.agents.upload_session_file": (NOT_FOUND,),
    "beta.agents.download_session_file": (NOT_FOUND,),
    "beta.agents.get_session_files": (NOT_FOUND,),
    "beta.agents.delete_session_file": (NOT_FOUND,),
    "beta.agents.get_session_log_stream": (NOT_FOUND,),
    "agent's responses.create": (
        "NotFoundError 404 not_found",
        "BadRequestError 400 invalid_request_error",
        "InternalServerError 500 server_error",
    ),
    **OF_RESPONSES,
    "project's responses.create": ("NotFoundError 404 not_found",),
    "project's conversations.create": (),
}
