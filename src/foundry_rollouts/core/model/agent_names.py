"""How agents are named where one controller watches several projects: ``project/agent``.

Where there is one project its agents have their plain names. The cloud knows plain names only, and takes no slash in
one.
"""

SEPARATOR = "/"


def full_name(project: str, agent: str) -> str:
    """Return how ``agent`` of ``project`` is called here; without a project it is its plain name."""
    return f"{project}{SEPARATOR}{agent}" if project else agent


def project_in(name: str) -> str:
    """Return the project that ``name`` names; empty where it names none."""
    return name.partition(SEPARATOR)[0] if SEPARATOR in name else ""


def is_of(name: str, project: str) -> bool:
    """Whether ``name`` is that of an agent of ``project``; where there is one project, every one is."""
    return not project or project_in(name) == project


def plain_name(name: str) -> str:
    """Return what the cloud calls the agent."""
    return name.partition(SEPARATOR)[2] if SEPARATOR in name else name
