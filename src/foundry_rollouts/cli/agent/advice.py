"""What to do about a refusal of the cloud, for every row of its error tables.

The rows are asked in order: the first whose status and code fit gives the advice.
"""

from dataclasses import dataclass

from foundry_rollouts.errors import CloudError, UnavailableError

_ANY = range(100, 600)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: which refusals it is about, and what to do. Empty ``codes`` and ``operation`` fit all."""

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
            and self.words in refusal.message
        )


ROWS = (
    Row((None,), "sign in, for example with 'az login', or name another --credential", ("credential_unavailable",)),
    Row((None,), "look at the project endpoint and the network, then run it again", ("connection",)),
    Row((None,), "it may have been done all the same: look before you run it again"),
    Row((400,), "wait until the version is active, 'foundry-rollouts agent versions' shows it", words="provisioned"),
    Row((400,), "choose another name for the environment variable", ("EnvVarReserved",)),
    Row((400,), "delete versions that nobody needs, an agent may have 1000", ("UserError",)),
    Row((400,), "choose a pair of --cpu and --memory such as 0.5 1Gi, 1 2Gi or 2 4Gi", words="resource tier"),
    Row((400,), "create the project in a region that has hosted agents", words="Unsupported region"),
    Row((400,), "name the agent's instance identity, never its blueprint", ("PrincipalTypeNotSupported",)),
    Row((400,), "mend what it names; the same request is refused again"),
    Row((401,), "sign in again; the token must be for https://ai.azure.com"),
    Row((403,), "have the preview feature it names switched on", ("preview_feature_required",)),
    Row((403,), "ask for the right to assign roles at that scope, Contributor is not enough", operation="roles."),
    Row((403,), "the session is another user's: use one of your own, or --user", ("session_not_accessible",)),
    Row((403,), "open it with 'foundry-rollouts agent enable'", ("agent_disabled",)),
    Row((403,), "open the agent if it is disabled, else have the role Foundry User granted to you", operation="res"),
    Row((403,), "open the agent if it is disabled, else have the role Foundry User granted to you", operation="inv"),
    Row((403,), "have a role granted to you that may do this, for example Foundry Project Manager"),
    Row((404,), "the stream begins with the session's first call: call the agent, then look again", operation="logs."),
    Row((404,), "mend agent or version, 'foundry-rollouts agent versions' lists an agent's", operation="versions."),
    Row(
        (404,), "mend agent or session, 'foundry-rollouts agent sessions list' lists those there are", operation="sess"
    ),
    Row((404,), "mend agent or session, or ask without --session for a new one", operation="responses."),
    Row((404,), "mend agent, session or the call's id; it may have ended with its session", operation="invocations."),
    Row((404,), "mend the name, 'foundry-rollouts agent list' shows what there is"),
    Row((409,), "the agent is made of an image: there is no code to download", ("AgentNotCodeBased",)),
    Row((409,), "route away from it, stop its sessions, or end them with --force", operation="versions.delete"),
    Row((409,), "stop its sessions, or end them with --force", operation="agents.delete"),
    Row((409,), "look how it stands now, then decide again"),
    Row((408, 502, 504), "the sandbox was waking or slow: run it again"),
    Row((424,), "the container was not ready in time: see 'foundry-rollouts agent logs', try again in half a minute"),
    Row(
        (429,), "no more sessions fit: stop some, or ask for a larger quota", ("QuotaExceeded", "RegionalQuotaExceeded")
    ),
    Row((429,), "the cloud throttles: wait a minute, then run it again"),
    Row((500,), "the entry point ended: see its error in 'foundry-rollouts agent logs'", ("session_creation_failed",)),
    Row((500,), "the agent failed: see 'foundry-rollouts agent logs'", operation="responses."),
    Row((500,), "the agent failed: see 'foundry-rollouts agent logs'", operation="invocations."),
    Row(range(500, 600), "this is the cloud's: try later, and name the request in a ticket"),
    Row(_ANY, "the cloud did not answer as it should: look at the project endpoint"),
)


def what_to_do(error: CloudError) -> str:
    """Return the advice of the first row that fits."""
    return next(row.todo for row in ROWS if row.fits(error))


def advised(error: CloudError) -> UnavailableError:
    """Return an error whose one line ends with what to do."""
    return UnavailableError(f"{error}: {what_to_do(error)}")
