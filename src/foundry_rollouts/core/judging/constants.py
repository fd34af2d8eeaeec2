"""Every number that the judge is made of, with its unit and with what it rests on.

Numbers in brackets are sections of the page on the statistics (``statistics.md``); ``bench NAME`` is a measure of
``foundry-rollouts bench``, whose figures stand in ``docs/benchmarks.md``. Forecast and bench take them from here.
Rates and shares are fractions, spans are seconds where they have no unit of their own. None of this is a setting: each
number was measured together with the others.
"""

from datetime import timedelta

from foundry_rollouts.core.model.policy import GateKind, Margin

# One batch

#: Calls that make a batch, with at least one on each version (3.1; bench wald).
BATCH_CALLS = 8

# What is claimed

#: How far from the line towards a dead canary each claim of harm lies, in log-odds (3.2; bench detect).
HARM_POSITIONS = (0.012, 0.035, 0.08, 0.17, 0.34, 0.60, 1.0)
#: The failure rate that is claimed of a dead canary (3.2).
DEAD_RATE = 0.98
#: Claims of harm begin at this failure rate at most, so that there is room below a dead canary (3.9).
HARM_BEGINS_AT_MOST = 0.97
#: How far from "as good as stable" towards the bad line each claim of safety lies, in log-odds (3.5; bench safe).
SAFE_POSITIONS = (0.0, 0.35)
#: The margins of the ladder, as fractions: "less than so much worse than stable", widest first (3.5).
LADDER = (0.64, 0.32, 0.16, 0.08, 0.04, 0.02, 0.01, 0.005)
#: Lines above this failure rate are not bet against (3.9).
LINE_AT_MOST = 0.99
#: Fair rates stay this far from 0 and 1 (3.9).
EDGE = 1e-9

# What stable is thought to fail at

#: Seconds after which a call on stable counts half in the guess (3.2; bench depend, drift).
HALF_LIFE = 300.0
#: Failures and calls that the guess begins with (3.2).
GUESSED_FAILURES, GUESSED_CALLS = 0.5, 50.0
#: The lowest and the highest failure rate of a guess: nothing fails always or never (3.9).
LOWEST_GUESS, HIGHEST_GUESS = 2e-5, 0.95
#: Calls that all that was known of stable before the trial counts for at most (3.2).
PRIOR_CALLS = 500.0
#: Calls on stable without which nothing is known of it (10.3).
KNOWN_AFTER_CALLS = 30.0

# Capital

#: The share of the capital that is staked at the start; the rest is cash (3.4; bench late).
STAKED_AT_START = 0.5
#: The shares of the cash that are staked each minute, and at each change of weight (3.4; bench late).
STAKED_EACH_MINUTE, STAKED_EACH_WEIGHT = 0.05, 0.20
#: Seconds from one such stake to the next (3.4).
MINUTE = 60.0

# Gates

#: The share of each gate when several judge harm; fixed before any rollout starts (3.6).
PARTS = {GateKind.ERROR_RATE: 0.6, GateKind.LATENCY: 0.25, GateKind.LOG_ERRORS: 0.15}
#: A critical gate has so many times its part: it decides sooner, the others later, and the promise stays (3.6).
CRITICAL = 4.0
#: The part of client errors within a gate, where its source tells them from errors (3.6).
BESIDE = 0.1
#: Slow means slower than stable's median, its p90, its p99: three questions, one process each (3.6; bench signals).
SLOW = (0.5, 0.9, 0.99)
#: Calls on stable from which those three are learnt, before any bet on latency (bench signals).
LEARNING_CALLS = 50
#: A ceiling grants no tolerance: below it, as good as stable is good enough (3.6).
STRICT = Margin(1.0)

# Decisions

#: Less than this much worse, as a fraction, is "not gross" (3.7; bench rollout).
GROSS = 0.16
#: Evidence starts at 1 : 1, whose logarithm is 0; above that, something speaks against the canary. A hair is rounding.
EVEN = 2.3e-9
#: At 100, one stable call among more canary calls than this is a straggler (10.3).
FEW = 50
#: Proof older than this does not move a rollout: what was good then may be broken now.
STALE_AFTER = timedelta(minutes=2)
#: Seconds of a window that tells how busy an agent is: in a shorter one chance rules, in a longer one nobody watched.
SHORTEST_WINDOW, LONGEST_WINDOW = 5.0, 120.0
#: Calls without which the traffic is not known (3.8; bench schedule).
TELLING_CALLS = 8
