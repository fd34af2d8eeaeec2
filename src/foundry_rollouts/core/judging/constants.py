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
#: How much of a tick an interval lasts at least; a failure that is reported at once ends none of them (10.1).
WHOLE = 0.9
#: Intervals that may wait to become a batch together, where they hold as many calls as one takes (10.1; bench world).
WAITING_INTERVALS = 3
#: Calls on stable alone that may wait: so many compare with a canary that one call in a hundred meets (bench wald).
WAITING_STABLE_CALLS = 32

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
#: Calls on stable, of the trial, after which those of before fade too (10.10; bench world).
FRESH_CALLS = 200.0

# Capital

#: The share of the capital that is staked at the start; the rest is cash (3.4; bench late).
STAKED_AT_START = 0.5
#: The shares of the cash that are staked each minute, and at each change of weight (3.4; bench late).
STAKED_EACH_MINUTE, STAKED_EACH_WEIGHT = 0.05, 0.20
#: Seconds from one such stake to the next (3.4).
MINUTE = 60.0

# What is not as the bench supposes

#: The calls on stable whose slowest thousandth tells the longest call (10.7).
TIMED_CALLS = 1000
#: No step waits longer than this for the slowest calls of stable, where the policy says nothing of them (10.7).
LONGEST_CALL = timedelta(minutes=10)
#: How much more a canary may fail while its sandboxes are new, as a fraction, and the part of the capital that is held
#: against what is worse than that (10.11; bench world).
WARM_POINTS, WARM_PART = 0.25, 0.1
#: At 100 the canary may fail so much more than stable did before; beyond that it goes back a step (10.3; bench world).
GUARD = Margin(2.0, 0.05)
#: The evidence, as a ratio, at which the guard sends it back, and how often before a person is asked (10.3).
GUARD_ODDS, STEP_BACKS = 100.0, 3
#: Stable fails more than before, and so does the canary: the line, and the evidence as a ratio (10.4; bench world).
TROUBLE, TROUBLE_ODDS = Margin(2.0, 0.02), 20.0
#: Calls on stable that tell what it fails at when all is well, with so many failures added to them to be on the safe
#: side; calls from which it is known firmly; and calls of history that tell it (10.4; bench world).
CALM_CALLS, CALM_FAILURES, FIRM_CALLS, CALM_HISTORY = 30, 2, 100, 200
#: Minutes that tell whether it is over, and the calls on stable that do so sooner (10.4; bench world).
TROUBLE_MINUTES, TROUBLE_CALLS = 5, 30
#: New sessions do not follow the weight: the evidence as a ratio, on either side of it (10.12; bench world).
SPLIT_ODDS = 100.0
#: The claims below the weight, none and half, with their parts, and above it: twice, five times, all (10.12).
SPLIT_NONE, SPLIT_BELOW_PARTS, SPLIT_ABOVE = 1e-4, (0.9, 0.1), (2.0, 5.0)
#: Calls that fail together, before stable has shown it, with the failures that this is worth; and at most (10.6).
CLUSTER_AT_FIRST, CLUSTER_WORTH, CLUSTER_AT_MOST = 5.0, 2.0, 20.0
#: How often what the mean cluster has above one counts, for the largest one (10.6; bench world).
CLUSTER_CAUTION = 2.0
#: Seconds after which what stable showed of clusters counts half (10.6).
CLUSTER_HALF_LIFE = 1800.0

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
#: Proof older than this does not move a rollout: what was good then may be broken now.
STALE_AFTER = timedelta(minutes=2)
#: Seconds of a window that tells how busy an agent is: in a shorter one chance rules, in a longer one nobody watched.
SHORTEST_WINDOW, LONGEST_WINDOW = 5.0, 120.0
#: Calls without which the traffic is not known (3.8; bench schedule).
TELLING_CALLS = 8
