"""The links in messages: to the page of a rollout, and to the question whether somebody approves it.

A link gives nobody a right, and opening it does nothing: who opens it signs in, and may do there what they may do
anyway. The one to an approval says what was asked, so that it asks for nothing else later. It is signed, so that nobody
else can write one, and it expires.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import jwt
from jwt.exceptions import PyJWTError

from foundry_rollouts.errors import NotFoundError

ALGORITHM = "HS256"
AUDIENCE = "approval"  #: What the signature is for, so that no other text of ours passes for a link.
NOT_OURS = (
    "this link is none of ours, or it lost a part on its way: open the newest message, or the page of the rollout"
)
LONGEST = 400  #: Characters: the sign-in takes an address back to its page that is no longer than 500.


@dataclass(frozen=True, slots=True)
class ApprovalLink:
    """What a link asks to approve: ``of`` is the fingerprint of the version and the policy."""

    rollout: str
    step: int
    of: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Links:
    """Writes links, and reads those to approvals; ``url`` is where people reach the pages."""

    url: str
    key: bytes | None = field(default=None, repr=False)  #: None: messages lead to the page of the rollout only.

    def to_rollout(self, rollout: str) -> str:
        return f"{self.url}/rollouts/{quote(rollout, safe='')}"

    def to_agent(self, agent: str) -> str:
        return f"{self.url}/?q={quote(agent, safe='')}"

    def to_approval(self, link: ApprovalLink) -> str:
        """Return the address that asks to approve; without a key, that of the rollout."""
        if self.key is None:
            return self.to_rollout(link.rollout)
        said = {"sub": link.rollout, "step": link.step, "of": link.of, "exp": int(link.until.timestamp())}
        return f"{self.url}/approvals/{jwt.encode({**said, 'aud': AUDIENCE}, self.key, ALGORITHM)}"

    def read(self, text: str) -> ApprovalLink:
        """Return what a link asks, also when its time is over. Raises NotFoundError for what is none of ours."""
        if self.key is None or len(text) > LONGEST:
            raise NotFoundError(NOT_OURS)
        try:
            # Whether it is over is for the caller to say, who knows what time it is.
            said = jwt.decode(
                text,
                self.key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["exp", "sub", "aud"], "verify_exp": False},
            )
            until = datetime.fromtimestamp(int(said["exp"]), UTC)
            return ApprovalLink(str(said["sub"]), int(said["step"]), str(said["of"]), until)
        except (PyJWTError, ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
            raise NotFoundError(NOT_OURS) from None
