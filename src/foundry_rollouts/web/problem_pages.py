"""What each kind of problem means and what to do: the page that a problem's ``type`` leads to."""

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from foundry_rollouts.errors import NotFoundError

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class ProblemPage:
    """One kind of problem."""

    status: HTTPStatus
    means: str
    do: str
    detail: str  #: An example of what it says.

    @property
    def name(self) -> str:
        """The last part of its address."""
        return name_of(self.status)


def name_of(status: int) -> str:
    """Return the name of the problem with that status."""
    return HTTPStatus(status).phrase.lower().replace(" ", "-")


PAGES = (
    ProblemPage(
        HTTPStatus.BAD_REQUEST,
        "The request cannot be read, or it could be read in two ways: two headers where one is allowed, a token in the"
        " address, a length that is contradicted.",
        "Build the request anew. A token that was in an address is in logs by now: revoke it.",
        "a token in an address ends up in logs: revoke it, and send another in the header Authorization",
    ),
    ProblemPage(
        HTTPStatus.UNAUTHORIZED,
        "Nobody is known by what was shown: there is no token, or it is unknown, expired or revoked.",
        "Send the header `Authorization: Bearer TOKEN`. An admin makes tokens with `foundry-rollouts token create`.",
        "nobody is known here without a token: send the header Authorization: Bearer TOKEN",
    ),
    ProblemPage(
        HTTPStatus.FORBIDDEN,
        "Who asks is known and lacks the role, or the request comes from the page of another site.",
        "Ask an admin for a token with the role that the sentence names.",
        "this needs the role operator, and dashboard has the role viewer",
    ),
    ProblemPage(
        HTTPStatus.NOT_FOUND,
        "There is no such rollout, agent, version, policy, token, page or cursor.",
        "Read the list that it should be in. An agent is known once discovery has listed it.",
        "there is no rollout 01abcdef012345678",
    ),
    ProblemPage(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "The address exists and takes another method.",
        "The header `Allow` names those it takes; `/api/openapi.json` lists the routes.",
        "Method Not Allowed",
    ),
    ProblemPage(
        HTTPStatus.CONFLICT,
        "The rollout is not as its author saw it: it stands at another generation, it has ended, somebody else asked"
        " the same, or the idempotency key served another request. `current` is the rollout as it is now.",
        "Look at `current`, decide again, and send the command with its `generation`. Never send it again unseen.",
        "pause names generation 3, but rollout 01abcdef012345678 is progressing at generation 4: read it again",
    ),
    ProblemPage(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "The body is longer than any request needs: 64 KiB.",
        "Report outcomes in batches of at most 300.",
        "send at most 65536 bytes",
    ),
    ProblemPage(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body is no JSON by its header. Forms of other sites are kept out so.",
        "Send `Content-Type: application/json`, also with an empty object.",
        "send JSON: Content-Type must be application/json",
    ),
    ProblemPage(
        HTTPStatus.MISDIRECTED_REQUEST,
        "The service does not answer to the host name of the request: a name could have been made to point here.",
        "Use the service's address, or add the name to `FOUNDRY_ROLLOUTS_HOSTS`.",
        "this service does not answer to that host name: use its address, or set FOUNDRY_ROLLOUTS_HOSTS",
    ),
    ProblemPage(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "The request is readable and makes no sense: a field is missing, unknown or wrong, or no policy names the"
        " agent. `errors` names the fields.",
        "Correct the fields. `/api/openapi.json` has the schema and an example of each request.",
        "body.generation: Field required",
    ),
    ProblemPage(
        HTTPStatus.TOO_MANY_REQUESTS,
        "One token, person or address asks too often.",
        "Wait as long as `Retry-After` says. Report outcomes in batches, and follow rollouts by their event stream.",
        "too many requests: slow down, or ask for batches",
    ),
    ProblemPage(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "A mistake of the service; its log has the trace.",
        "Report it with the time of the request. Commands with an `Idempotency-Key` can be sent again.",
        "internal error: see the log of the service",
    ),
    ProblemPage(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The database or the identity provider is away. A command may not be recorded.",
        "Send the same request with the same `Idempotency-Key` again after `Retry-After`. Where an abort cannot wait,"
        " the sentence names the command that goes back without the service.",
        "database postgresql://…: connection refused; check that it is there, can be reached and may be written",
    ),
)

BY_NAME = {page.name: page for page in PAGES}


def example_of(status: HTTPStatus) -> dict[str, str | int]:
    """Return an example of the problem with that status."""
    page = BY_NAME[name_of(status)]
    return {
        "type": f"/problems/{page.name}",
        "title": status.phrase,
        "status": status.value,
        "detail": page.detail,
        "instance": "/api/v1/rollouts/01abcdef012345678",
    }


@router.get("/problems/{name}", response_class=PlainTextResponse)
async def show_problem(name: str) -> PlainTextResponse:
    """Show what a kind of problem means, and what to do."""
    if name not in BY_NAME:
        raise NotFoundError(f"there is no such kind of problem: those are {', '.join(BY_NAME)}")
    return PlainTextResponse(text_of(BY_NAME[name]))


def text_of(page: ProblemPage) -> str:
    """Return the page of one kind of problem, as Markdown."""
    return (
        f"## {page.status.value} {page.status.phrase}\n\n{page.means}\n\n**What to do:** {page.do}\n\n"
        f"For example: `{page.detail}`\n"
    )
