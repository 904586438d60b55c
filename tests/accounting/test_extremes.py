"""Any noise, any sampling, any count is answered: soon, and in bounded memory."""

import subprocess
import sys
from itertools import product

import pytest

# In a process of its own, whose memory is its own: what grows without end is killed by the limit.
ASK = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
from dp_accounting import *
from privfl.accounting import epsilon_of, group_epsilon_of
def poisson(q, z): return PoissonSampledDpEvent(q, GaussianDpEvent(z))
def mixed(z): return ComposedDpEvent([GaussianDpEvent(z), poisson(.01, z), LaplaceDpEvent(z)])
def three(z): return ComposedDpEvent([poisson(.01, z), poisson(.1, 2 * z), poisson(.001, z / 2)])
for line in sys.stdin:
    start = time.monotonic()
    found = eval(line)
    print(found.upper, time.monotonic() - start, line.strip(), flush=True)
"""

SECONDS = 10.0  # for one answer, on a busy machine; the slowest takes one when it is idle

NOISES = [1e-3, 0.03, 0.3, 1.0, 1e3]
RELATIONS = ["zero-out", "replace-one", "add/remove"]
SAMPLED = [
    f"epsilon_of(poisson({q}, {z}), {delta}, {relation!r}, {count})"
    for z, q, (delta, count, relation) in product(
        NOISES,
        [1e-9, 1e-3, 0.999],
        [
            (1e-3, 1, "zero-out"),
            (1e-12, 1, "replace-one"),
            (1e-5, 1000, "replace-one"),
            (1e-3, 10**6, "add/remove"),
            (1e-12, 10**6, "zero-out"),
        ],
    )
]
MIXED = [
    f"epsilon_of({event}({z}), {delta}, {relation!r}, {count})"
    for z, event, (delta, count, relation) in product(
        NOISES,
        ["mixed", "three", "LaplaceDpEvent"],
        [(1e-3, 1, "zero-out"), (1e-12, 10**6, "replace-one")],
    )
]
GROUPS = [
    f"group_epsilon_of({event}({z}), {size}, 1e-5, 'zero-out', {count})"
    for z, event, (size, count) in product([0.1, 1e3], ["mixed", "three"], [(7, 1), (64, 1000)])
]


@pytest.mark.parametrize("questions", [SAMPLED, MIXED, GROUPS], ids=["sampled", "mixed", "groups"])
def test_everything_is_answered(questions):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK],
        input="\n".join(questions),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS * len(questions),
    )
    assert done.returncode == 0, done.stderr
    answers = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert [words[2] for words in answers] == questions
    assert all(float(words[0]) >= 0 for words in answers)
    assert [words for words in answers if float(words[1]) > SECONDS] == []
