"""``make mutants``: try every small change of the core, and hold the survivors against the record."""

# ruff: noqa: T201 - it speaks to a terminal
import importlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mutation.mutants import Mutant, Source, mutated
from mutation.record import complaints, recorded
from mutation.trials import Watch, in_parallel, try_afresh, try_living, watched

PACKAGE = Path(__file__).parents[2] / "src" / "foundry_rollouts"
AT_ONCE = 2

Trial = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mutant and the source that it changes."""

    source: Source
    mutant: Mutant


def main(files: list[str]) -> int:
    """Try the mutants of ``files``, of the whole core without any; return 0 when each survivor has its reason."""
    files = files or sorted(str(path.relative_to(PACKAGE)) for path in (PACKAGE / "core").rglob("*.py"))
    candidates = [
        Candidate(source, mutant) for file in files for source in [mutated(PACKAGE, file)] for mutant in source.mutants
    ]
    print(f"{len(candidates)} mutants of {len(files)} files", flush=True)
    began = time.monotonic()
    living = in_a_fork(partial(try_all_living, candidates))
    if not living:
        print("The tests fail on the code as it is: fix that first.")
        return 1
    survivors = [candidates[number].mutant for number in living["survivors"]]
    survivors += try_all_afresh([candidates[number] for number in living["afresh"]], living)
    keys = [each.mutant.key for each in candidates]
    told = complaints(sorted((each.key for each in survivors), key=keys.index), keys, recorded())
    print(*told, sep="\n")
    noticed, minutes = len(candidates) - len(survivors), (time.monotonic() - began) / 60
    print(f"{len(candidates)} mutants: {noticed} noticed by a test, {len(survivors)} survive ({minutes:.0f} min).")
    print("Not well." if told else "Each survivor has its reason: tests/mutation/survivors.toml.")
    return 1 if told else 0


def in_a_fork(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``work`` finds, in a process of its own: this one must not import what is mutated."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.json")
        pid = os.fork()
        if not pid:
            found.write_text(json.dumps(work()), "utf-8")
            os._exit(0)
        os.waitpid(pid, 0)
        return dict(json.loads(found.read_text("utf-8"))) if found.exists() else {}


def try_all_living(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Try what lies inside functions; return the numbers of the survivors and of those to try with fresh imports."""
    survivors: list[int] = []
    afresh = [n for n, each in enumerate(candidates) if not each.mutant.is_in_function]
    inside = [n for n, each in enumerate(candidates) if each.mutant.is_in_function]

    def then(watch: Watch) -> None:
        trials = [partial(try_living, candidates[n].source, candidates[n].mutant, watch) for n in inside]
        for place in survivors_of(trials, [candidates[n] for n in inside], watch.noticed):
            each = candidates[inside[place]]
            again = watch.is_collected(each.source.path, each.mutant.lines)
            (afresh if again else survivors).append(inside[place])

    watch = watched(PACKAGE / "core", then)
    if not watch.is_well:
        return {}
    libraries = [
        name for name, module in sys.modules.items() if "site-packages" in (getattr(module, "__file__", "") or "")
    ]
    return {
        "survivors": survivors,
        "afresh": afresh,
        "order": watch.in_order(watch.seconds),
        "seconds": sum(watch.seconds.values()),
        "libraries": libraries,
    }


def try_all_afresh(candidates: Sequence[Candidate], living: dict[str, Any]) -> list[Mutant]:
    """Return the survivors of those that need fresh imports; libraries are imported once for all."""
    for name in living["libraries"]:
        importlib.import_module(name)
    trials = [partial(try_afresh, each.source, each.mutant, living["order"], living["seconds"]) for each in candidates]
    return [candidates[place].mutant for place in survivors_of(trials, candidates, Counter())]


def survivors_of(trials: Sequence[Trial], candidates: Sequence[Candidate], noticed: Counter[str]) -> Iterator[int]:
    """Yield the places of those that survive; say so at once, and now and then how far it is."""
    for number, (place, noticed_by) in enumerate(in_parallel(trials, AT_ONCE), start=1):
        if noticed_by is None:
            tell(f"survives: {candidates[place].mutant}")
            yield place
        else:
            noticed[noticed_by] += 1
        if number % 50 == 0 or number == len(trials):
            tell(f"{number} of {len(trials)} tried")


def tell(text: str) -> None:
    """Say how far it is, past what pytest does with the output."""
    print(text, file=sys.__stderr__, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
