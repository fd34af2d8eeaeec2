"""How many rollouts may be under way at once, and which labels go before others."""

from dataclasses import dataclass, field

from foundry_rollouts.core.model.agent_names import project_in

#: What a limit is on: the label, or the project where there is none; a project without a name is the only one.
Scope = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Limits:
    """The most rollouts at once, and waves of labels; empty: whatever starts may start."""

    project: int | None = None  #: In each project; None: as many as there are.
    labels: tuple[tuple[str, int], ...] = ()
    waves: tuple[tuple[str, ...], ...] = ()  #: Agents of a later one wait for those of all earlier ones.
    _most: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._most.update(self.labels)

    def scopes(self, agent: str, labels: tuple[str, ...]) -> tuple[Scope, ...]:
        """Return what of an agent with ``labels`` is limited."""
        of_labels = tuple((label, "") for label in labels if label in self._most)
        return of_labels if self.project is None else (*of_labels, (None, project_in(agent)))

    def most(self, scope: Scope) -> int:
        """Return how many rollouts of ``scope`` may be under way at once."""
        label, _ = scope
        return self._most[label] if label is not None else self.project or 0

    def wave(self, labels: tuple[str, ...]) -> int | None:
        """Return the number of the earliest wave that one of ``labels`` is in, from 0; None: it is in none."""
        return next((number for number, wave in enumerate(self.waves) if set(wave) & set(labels)), None)

    def names(self) -> tuple[str, ...]:
        """Return every label that is named."""
        named = [*(label for label, _ in self.labels), *(label for wave in self.waves for label in wave)]
        return tuple(dict.fromkeys(named))


def named(scope: Scope) -> str:
    """Return what ``scope`` is called in a sentence."""
    label, project = scope
    if label is not None:
        return f"label {label}"
    return f"project {project}" if project else "the project"
