#!/usr/bin/env python3
"""Calculates evidence of large and small counts with 60 digits, from the definitions alone.

    python3 large.py > large.json

Shares no code with the crate. Plain Python, nothing to install.
"""

import json
from decimal import Decimal as D, getcontext

getcontext().prec = 60

WORSE = [D("1.25"), D("1.5"), D(2), D(3), D(5), D(10), D(30), D(100)]
BETTER = [D("1.25"), D("1.5"), D(2), D(3), D(5)]


def mean_exp(logs):
    largest = max(logs)
    return largest + sum((log - largest).exp() for log in logs).ln() - D(len(logs)).ln()


def relative(ticks, null, alternatives):
    logs = []
    for r in alternatives:
        log = D(0)
        for ppm, calls, adverse in ticks:
            w = D(ppm) / 10**6
            if w in (0, 1):
                continue
            p, q = (w * ratio / (w * ratio + 1 - w) for ratio in (null, r))
            log += adverse[1] * (q / p).ln() + adverse[0] * ((1 - q) / (1 - p)).ln()
        logs.append(log)
    return mean_exp(logs)


def absolute(ticks, null, alternatives):
    calls = sum(calls[1] for _, calls, _ in ticks)
    adverse = sum(adverse[1] for _, _, adverse in ticks)
    logs = []
    for p in alternatives:
        if p == 0 and adverse > 0:
            continue
        log = (calls - adverse) * ((1 - p) / (1 - null)).ln()
        logs.append(log + (adverse * (p / null).ln() if adverse else 0))
    return mean_exp(logs) + D(len(logs)).ln() - D(len(alternatives)).ln()


def case(ratio, floor, good_ratio, good_rate, ticks):
    ratio, floor, good_ratio, good_rate = map(D, (ratio, floor, good_ratio, good_rate))
    worse = relative(ticks, ratio, [ratio * m for m in WORSE])
    above = absolute(ticks, floor, [min(floor * m, D("0.9")) for m in (2, 5, 20, 100)])
    good = relative(ticks, good_ratio, [good_ratio / m for m in BETTER])
    below = absolute(ticks, good_rate, [good_rate / m for m in (2, 5, 20)] + [D(0)])
    return {
        "margins": [str(it) for it in (ratio, floor, good_ratio, good_rate)],
        "ticks": ticks,
        "expect": [f"{it:.25e}" for it in (worse, above, good, below, mean_exp([good, below]))],
    }


TERA = 10**12
CASES = [
    case("1", "0.001", "2", "0.005", [(1, (TERA, 10**6), (10**9, 10**3))]),
    case("1", "0.001", "2", "0.005", [(1, (TERA, 10**6), (10**9, 1500))]),
    case("1.5", "0.001", "2", "0.005", [(500_000, (TERA, TERA), (10**10, 10**10))]),
    case("1", "0.0001", "3", "0.01", [(500_000, (TERA, TERA), (10**9, 3 * 10**9))]),
    case("1", "0.001", "2", "0.005", [(999_999, (10**6, TERA), (10**3, 10**9))]),
    case("1.2", "0.01", "1.5", "0.05", [(999_999, (10**6, TERA), (3, 10**9 + 7))]),
    case("1", "0.001", "2", "0.005", [(1, (1, 0), (1, 0))]),
    case("1", "0.001", "2", "0.005", [(1, (0, 1), (0, 1))]),
    case("1", "0.001", "2", "0.005", [(999_999, (0, 1), (0, 1))]),
    case("1", "0.001", "2", "0.005", [(1, (TERA, 10**6), (0, 0)), (500_000, (1, 1), (0, 1))]),
]

print(json.dumps(CASES, indent=1))
