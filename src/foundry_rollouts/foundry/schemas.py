"""The cloud's objects as far as their fields decide something; members that are not known here are left alone."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

Named = Annotated[str, StringConstraints(min_length=1)]
Object = dict[str, Any]
Moment = int | float | str | None


class Part(BaseModel):
    """What every object may say of itself."""

    model_config = ConfigDict(strict=True, extra="ignore")

    object: str | None = None


class Selector(Part):
    """How an endpoint divides new sessions."""

    version_selection_rules: list[Any] | None = None  # what is wrong with a rule is said by rules.py


class Endpoint(Part):
    """What an agent answers, and by which version."""

    version_selector: Selector | None = None
    protocols: list[Any] | None = None
    protocol_configuration: Object | None = None


class Code(Part):
    """What a version of source code is made of."""

    runtime: str | None = None
    entry_point: list[str] | None = None
    dependency_resolution: str | None = None
    content_hash: str | None = None


class Container(Part):
    """What a version of an image is made of."""

    image: str | None = None


class SessionConfiguration(Part):
    """How long a session may sleep."""

    idle_timeout_seconds: int | float | None = None


class Definition(Part):
    """What a version is, in both dialects."""

    image: str | None = None
    container_configuration: Container | None = None
    code_configuration: Code | None = None
    protocol_versions: list[Object] | None = None
    container_protocol_versions: list[Object] | None = None
    environment_variables: Object | None = None
    session_configuration: SessionConfiguration | None = None


class Identity(Part):
    """The identity of an agent, to which roles are granted."""

    principal_id: str | None = None


class Version(Part):
    """One version of an agent."""

    version: Named
    name: str | None = None
    status: str | None = None
    created_at: Moment = None
    error: Object | str | None = None
    draft: bool | None = None
    definition: Definition | None = None
    description: str | None = None
    metadata: Object | None = None
    instance_identity: Identity | None = None


class Versions(Part):
    """The versions that an agent tells of itself."""

    latest: Version | None = None


class Agent(Part):
    """One hosted agent; a list may leave its endpoint out."""

    name: Named | None = None
    id: Named | None = None
    versions: Versions | None = None
    agent_endpoint: Endpoint | None = None
    instance_identity: Identity | None = None
    state: str | None = None
    configuration_state: str | None = None
    status: str | None = None


class Indicator(Part):
    """Which version a session is bound to."""

    agent_version: str | None = None


class Session(Part):
    """One session."""

    agent_session_id: Named | None = None
    id: Named | None = None
    version_indicator: Indicator | None = None
    status: str | None = None
    created_at: Moment = None


class Page(Part):
    """One page of a list."""

    data: list[Object]
    has_more: bool | None = None
    last_id: str | None = None


class Grants(Part):
    """One page of role assignments, as ARM has it."""

    value: list[Object]
    nextLink: str | None = None  # noqa: N815 - ARM's own word


class File(Part):
    """One entry of a folder."""

    name: Named
    size: int | None = None
    is_directory: bool | None = None
    is_dir: bool | None = None
    modified_time: Moment = None


class Files(Part):
    """What lies in a folder."""

    entries: list[File]


class Written(Part):
    """How much was written."""

    bytes_written: int | None = None


class Kept(Part):
    """Something that is known by its id."""

    id: Named


class Gone(Part):
    """The confirmation of a deletion."""

    name: str | None = None
    deleted: bool | None = None
