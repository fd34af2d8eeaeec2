"""Drafts: versions outside the numbering, to be tried by sessions of their own, and made a release later.

There is no call that promotes a draft: a release is a new version of the same definition, and of the same code.
"""

from typing import Any

from foundry_rollouts.errors import UsageError
from foundry_rollouts.foundry.definition import Definition, Labels, PromptDefinition, definition_json, rewritten
from foundry_rollouts.foundry.deploy import Deploy
from foundry_rollouts.foundry.download import Downloads
from foundry_rollouts.foundry.packaging import Archive
from foundry_rollouts.foundry.versions import Created, Versions
from foundry_rollouts.foundry.wire import VersionDetails


class Drafts:
    """The drafts of one project's agents. Every method raises CloudError.

    Where drafts are not offered the cloud makes a release without a word; ``is_silent_release`` tells it.
    """

    def __init__(self, versions: Versions, deploy: Deploy, downloads: Downloads) -> None:
        self._versions = versions
        self._deploy = deploy
        self._downloads = downloads

    async def of_image(
        self, agent: str, definition: Definition | PromptDefinition, labels: Labels | None = None
    ) -> Created:
        return await self._versions.create_draft(agent, definition, labels)

    async def of_code(
        self, agent: str, archive: Archive, definition: Definition, labels: Labels | None = None
    ) -> Created:
        wish = {"definition": definition_json(definition), **(labels or Labels()).json()}
        return await self._deploy.draft(agent, archive, wish)

    async def promote(self, agent: str, draft: str) -> Created:
        """Make a release of what ``draft`` is, its code included. Raises UsageError when it is none."""
        details = await self._versions.one(agent, draft)
        if not details.seen.is_draft:
            raise UsageError(f"version {draft} of {agent} is a release already: start a rollout of it")
        wish = _wish(details)
        if "code_configuration" not in wish["definition"]:
            return await self._versions.send(agent, wish)
        code = await self._downloads.code(agent, draft)
        return await self._deploy.send(agent, code.archive, wish)


def _wish(details: VersionDetails) -> dict[str, Any]:
    labels = Labels(details.description, details.metadata or {})
    return {"definition": rewritten(details.definition), **labels.json()}
