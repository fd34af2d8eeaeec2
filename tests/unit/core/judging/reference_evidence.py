"""A second way to the same evidence: the formulas written down one by one, plain products, no logarithms.

Slow on purpose, and without a line in common with the core: what both agree on is likely what was meant.
"""

from decimal import Decimal, localcontext
from math import exp, floor, log

Line = tuple[float, float]  # ratio, points
Counts = tuple[int, int, int, int]  # canary calls, canary failures, stable calls, stable failures

U = (0.012, 0.035, 0.08, 0.17, 0.34, 0.60, 1.0)
LADDER = (0.64, 0.32, 0.16, 0.08, 0.04, 0.02, 0.01, 0.005)


def logit(p: float) -> float:
    return log(p / (1 - p))


def inverse_logit(x: float) -> float:
    return exp(x) / (1 + exp(x))


def projection(theta: float, bh: float, line: Line, n_c: int, n_b: int) -> tuple[float, float]:
    rho, delta = line
    low = max(1e-9, (1e-9 - delta) / rho)
    high = min(1 - 1e-9, (1 - 1e-9 - delta) / rho)
    for _ in range(80):
        b = (low + high) / 2
        a = rho * b + delta
        slope = n_c * rho * (a - theta) / (a * (1 - a)) + n_b * (b - bh) / (b * (1 - b))
        if slope < 0:
            low = b
        else:
            high = b
    b = (low + high) / 2
    return rho * b + delta, b


def likelihood_ratio(theta: float, bh: float, line: Line, counts: Counts) -> Decimal:
    n_c, x_c, n_b, x_b = counts
    a0, b0 = projection(theta, bh, line, n_c, n_b)
    ratio = (Decimal(theta) / Decimal(a0)) ** x_c * ((1 - Decimal(theta)) / (1 - Decimal(a0))) ** (n_c - x_c)
    return ratio * (Decimal(bh) / Decimal(b0)) ** x_b * ((1 - Decimal(bh)) / (1 - Decimal(b0))) ** (n_b - x_b)


def is_batch(counts: Counts) -> bool:
    return counts[0] >= 1 and counts[2] >= 1 and counts[0] + counts[2] >= 8


def added(waiting: list[Counts]) -> Counts:
    n_c, x_c, n_b, x_b = (sum(column) for column in zip(*waiting, strict=True)) if waiting else (0, 0, 0, 0)
    return n_c, x_c, n_b, x_b


class ReferenceEvidence:
    """The evidence of one stratum; call ``weight_change`` and ``interval`` in the order of events."""

    def __init__(self, tolerate: Line, bad: Line) -> None:
        self.tolerate, self.bad = tolerate, bad
        self.cash = Decimal("0.5")
        self.harm = [Decimal("0.5") / 7] * 7
        self.safe = [Decimal("0.5")] * 2
        self.ladder = [Decimal(1)] * 8
        self.X, self.M = 0.0, 0.0
        self.waiting: list[Counts] = []
        self.seconds = 0

    def stake(self, share: Decimal) -> None:
        moved = share * self.cash
        self.cash -= moved
        self.harm = [r + moved / 7 for r in self.harm]

    def weight_change(self) -> None:
        with localcontext(prec=40):
            self.waiting = []
            self.stake(Decimal("0.20"))
            self.safe = [Decimal("0.5")] * 2

    def interval(self, counts: Counts, dt: int) -> None:
        with localcontext(prec=40):
            batch = self.closed_by(counts)
            if batch is not None:
                self.bet(batch)
                k = 0.5 ** (dt / 300)
                self.X, self.M = self.X * k + batch[3], self.M * k + batch[2]
            minutes = floor((self.seconds + dt) / 60) - floor(self.seconds / 60)
            self.seconds += dt
            for _ in range(minutes):
                self.stake(Decimal("0.05"))

    def closed_by(self, counts: Counts) -> Counts | None:
        """Return the batch that an interval closes: itself alone, or else with what waits of the last ones."""
        if counts[0] + counts[2] >= 8:
            self.waiting = []
            return counts if is_batch(counts) else None
        if counts[0] + counts[2]:
            self.waiting.append(counts)
        together = added(self.waiting)
        if is_batch(together):
            self.waiting = []
            return together
        while len(self.waiting) > 3 and added(self.waiting[1:])[0] + added(self.waiting[1:])[2] >= 8:
            del self.waiting[0]
        return None

    def bet(self, batch: Counts) -> None:
        bh = min(max((self.X + 0.5) / (self.M + 50), 2e-5), 0.95)
        rho, delta = self.tolerate
        start = logit(min(rho * bh + delta, 0.97))
        for k, u in enumerate(U):
            theta = inverse_logit(start + u * (logit(0.98) - start))
            if theta > rho * bh + delta:  # else its own nearest point is itself, and the ratio is 1
                self.harm[k] *= likelihood_ratio(theta, bh, self.tolerate, batch)
        rho, delta = self.bad
        for k, u in enumerate((0.0, 0.35)):
            theta = inverse_logit(logit(bh) + u * (logit(min(rho * bh + delta, 0.99)) - logit(bh)))
            self.safe[k] *= likelihood_ratio(theta, bh, self.bad, batch)
        for k, d in enumerate(LADDER):
            if bh + d < 0.99:
                self.ladder[k] *= likelihood_ratio(bh, bh, (1.0, d), batch)

    @property
    def harm_log10(self) -> float:
        return float((self.cash + sum(self.harm)).log10())

    @property
    def safe_log10(self) -> float:
        return float(sum(self.safe, Decimal(0)).log10())

    def at_most_worse(self, beta: float) -> float | None:
        proved = [d for d, capital in zip(LADDER, self.ladder, strict=True) if capital >= 1 / Decimal(beta)]
        return min(proved) if proved else None
