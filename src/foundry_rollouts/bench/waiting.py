"""Counts that wait until they make a batch (``core/judging/batches.py``), for many runs at once."""

import numpy as np

from foundry_rollouts.bench.arrays import Bools, Counts, Ints
from foundry_rollouts.core.judging.constants import BATCH_CALLS, WAITING_STABLE_CALLS

_ROOM = WAITING_STABLE_CALLS + 2
_CANARY, _STABLE = 0, 2  # Where the calls stand in a row.


class Waiting:
    """The intervals that wait, the newest first; without a limit they are one heap, as before rule 10.1."""

    def __init__(self, runs: int, at_most: int | None) -> None:
        self._at_most = at_most
        self._rows = np.zeros((runs, _ROOM if at_most else 1, 4), dtype=np.int64)

    def drop(self, at: Ints) -> None:
        self._rows[at] = 0

    def join(self, at: Ints, counts: Counts) -> tuple[Bools, Counts]:
        """Return which runs have a batch now, and those batches."""
        rows = counts.rows
        if self._at_most is None:
            is_batch, rows = self._heap(at, rows)
            return is_batch, Counts.of(rows[is_batch])
        # One that is large enough stands alone, or for nothing where it heard one version only.
        is_large, is_batch = counts.calls >= BATCH_CALLS, _is_batch(rows)
        self._rows[at[is_large]] = 0
        others = np.flatnonzero(~is_large & (counts.calls > 0))
        if others.size:
            is_batch[others], rows[others] = self._wait(at[others], rows[others], self._at_most)
        return is_batch, Counts.of(rows[is_batch])

    def _heap(self, at: Ints, counts: Ints) -> tuple[Bools, Ints]:
        held = self._rows[at, 0] + counts
        is_batch = _is_batch(held)
        self._rows[at, 0] = np.where(is_batch[:, None], 0, held)
        return is_batch, held

    def _wait(self, at: Ints, counts: Ints, at_most: int) -> tuple[Bools, Ints]:
        rows = np.concatenate([counts[:, None], self._rows[at, :-1]], axis=1)
        together = rows.sum(axis=1)
        is_batch = _is_batch(together)
        # The oldest go where more than so many wait and the newer ones hold enough calls.
        enough = np.where(rows[:, :, _CANARY].any(axis=1), BATCH_CALLS, WAITING_STABLE_CALLS)
        calls = rows[:, :, _CANARY] + rows[:, :, _STABLE]
        newer = np.cumsum(calls, axis=1) - calls
        is_kept = (np.arange(rows.shape[1]) < at_most) | (newer < enough[:, None])
        self._rows[at] = np.where(is_batch[:, None, None] | ~is_kept[:, :, None], 0, rows)
        return is_batch, together


def _is_batch(rows: Ints) -> Bools:
    canary, stable = rows[:, _CANARY], rows[:, _STABLE]
    return (np.minimum(canary, stable) >= 1) & (canary + stable >= BATCH_CALLS)
