"""What to do about a refusal of the cloud, for every row of its error tables.

The rows are asked in order: the first whose status and code fit gives the advice.
"""

import re
from dataclasses import dataclass

from foundry_rollouts.errors import CloudError, UnavailableError

NO_CREDENTIAL = "credential_unavailable"
_ANY = range(100, 600)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: which refusals it is about, and what to do. Empty ``codes`` and ``operation`` fit all.

    ``words`` is a pattern for the text: one code may stand for several mistakes.
    """

    statuses: range | tuple[int | None, ...]
    todo: str
    codes: tuple[str, ...] = ()
    operation: str = ""
    words: str = ""

    def fits(self, error: CloudError) -> bool:
        refusal = error.refusal
        return (
            refusal.status in self.statuses
            and (not self.codes or refusal.code in self.codes)
            and error.operation.startswith(self.operation)
            and re.search(self.words, refusal.message, re.IGNORECASE) is not None
        )


ROWS = (
    Row((None,), "sign in, for example with 'az login', or name another --credential", (NO_CREDENTIAL,)),
    Row((None,), "check the project endpoint and the network, then run it again", ("connection",)),
    Row((None,), "it may have been done anyway: check before you run it again"),
    Row((400,), "wait until the version is active, 'foundry-rollouts agent versions' shows it", words="provisioned"),
    Row((400,), "choose another name for the environment variable", ("EnvVarReserved",)),
    Row((400,), "choose another name for the environment variable", words=r"variable.*\breserved|\breserved.*variable"),
    Row((400,), "choose a pair of --cpu and --memory such as 0.5 1Gi, 1 2Gi or 2 4Gi", words="resource tier"),
    Row((400,), "create the project in a region that has hosted agents", words="unsupported region|region.*not supp"),
    Row(
        (400,),
        "delete versions that nobody needs, an agent may have 1000",
        ("UserError",),
        words=r"\b1[,.]?000\b|too many|(limit|maximum|exceed).*version|version.*(limit|maximum|exceed)",
    ),
    Row(
        (400,),
        "check the image's registry, name and tag, and that the project's identity may pull it (AcrPull)",
        words=r"\bimage\b.*(pull|not found|exist|access|manifest)|pull.*\bimage\b|\bregistry\b",
    ),
    Row((400,), "enable it: 'foundry-rollouts agent protocols AGENT --add NAME'", words="protocol.*not enabled"),
    Row((400,), "name the agent's instance identity, never its blueprint", ("PrincipalTypeNotSupported",)),
    Row((400,), "fix what it names; the same request will be refused again"),
    Row((401,), "sign in again; the token must be for https://ai.azure.com"),
    Row((403,), "have the preview feature that it names enabled", ("preview_feature_required",)),
    Row((403,), "ask for the right to assign roles at that scope, Contributor is not enough", operation="roles."),
    Row((403,), "the session is another user's: use one of your own, or --user", ("session_not_accessible",)),
    Row((403,), "open it with 'foundry-rollouts agent enable'", ("agent_disabled",)),
    Row((403,), "open the agent if it is disabled, else have the role Foundry User granted to you", operation="res"),
    Row((403,), "open the agent if it is disabled, else have the role Foundry User granted to you", operation="inv"),
    Row((403,), "have a role granted to you that may do this, for example Foundry Project Manager"),
    Row((404,), "the stream begins with the session's first call: call the agent, then try again", operation="logs."),
    Row((404,), "check the agent and the version, 'foundry-rollouts agent versions' lists them", operation="versions."),
    Row((404,), "check the version, 'foundry-rollouts agent versions' lists them", words=r"^version\b.*not found"),
    Row((404,), "check the agent and the session, 'foundry-rollouts agent sessions list' lists them", operation="sess"),
    Row((404,), "check the agent and the session, or leave --session out for a new one", operation="responses."),
    Row(
        (404,),
        "check the agent, the session and the call's id; the call may have ended with its session",
        operation="invocations.",
    ),
    Row((404,), "check the name, 'foundry-rollouts agent list' lists the agents"),
    Row((409,), "the agent runs an image: there is no code to download", ("AgentNotCodeBased",)),
    Row((409,), "route away from it, stop its sessions, or end them with --force", operation="versions.delete"),
    Row((409,), "stop its sessions, or end them with --force", operation="agents.delete"),
    Row((409,), "check its present state, then decide again"),
    Row((408, 502, 504), "the sandbox was starting or slow: run it again"),
    Row((424,), "the container was not ready in time: see 'foundry-rollouts agent logs', try again in half a minute"),
    Row(
        (429,),
        "the session quota is used up: stop some, or ask for a larger quota",
        ("QuotaExceeded", "RegionalQuotaExceeded"),
    ),
    Row((429,), "the cloud throttles: wait a minute, then run it again"),
    Row((500,), "the entry point ended: see its error in 'foundry-rollouts agent logs'", ("session_creation_failed",)),
    Row((500,), "the agent failed: see 'foundry-rollouts agent logs'", operation="responses."),
    Row((500,), "the agent failed: see 'foundry-rollouts agent logs'", operation="invocations."),
    Row(range(500, 600), "the fault is in the cloud: try later, and give the request id in a support ticket"),
    Row((200,), "the answer was cut at a limit: ask for less, or have the agent allow more", ("max_output_tokens",)),
    Row((200,), "the agent did not finish: see 'foundry-rollouts agent logs'", operation="responses."),
    Row((200,), "the agent did not finish: see 'foundry-rollouts agent logs'", operation="invocations."),
    Row(_ANY, "the cloud gave an unexpected answer: check the project endpoint"),
)


def what_to_do(error: CloudError) -> str:
    """Return the advice of the first row that fits."""
    return next(row.todo for row in ROWS if row.fits(error))


def advised(error: CloudError) -> UnavailableError:
    """Return an error whose one line ends with what to do."""
    if error.refusal.code == NO_CREDENTIAL:
        return UnavailableError(f"{error.refusal.message}: {what_to_do(error)}")
    return UnavailableError(f"{error}: {what_to_do(error)}")
