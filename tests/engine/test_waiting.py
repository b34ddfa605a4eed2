"""Which job a worker takes next: the first, or one near it of the shape that it has compiled."""

from __future__ import annotations

from harness.engine.job import Job
from harness.engine.waiting import Waiting
from harness.spec.recipe import Recipe
from harness.spec.spec import Choice, Spec
from harness.train.compile import StepKind

ARMS = ("layer", "rms", "none")


def waiting(step: StepKind, num_seeds: int, near: int) -> Waiting:
    jobs = [
        Job(Spec(norm=Choice(norm)), Recipe(), 10, 1.0, seed, "0" * 64, "store", "cpu", step=step)
        for seed in range(num_seeds)
        for norm in ARMS
    ]
    return Waiting(jobs, [(number,) for number in range(len(jobs))], near)


def taken(waiting: Waiting, workers: int) -> list[list[int]]:
    """What each of `workers` took, which take turns."""
    hands: list[list[int]] = [[] for _ in range(workers)]
    last: list[tuple[int, ...] | None] = [None] * workers
    while True:
        for number, hand in enumerate(hands):
            last[number] = waiting.take(last[number])
            if last[number] is None:
                return hands
            hand.extend(last[number] or ())


def test_workers_stay_with_the_shape_they_compiled() -> None:
    hands = taken(waiting("compiled", 4, near=3), workers=3)
    assert [{ARMS[number % 3] for number in hand} for hand in hands] == [{"layer"}, {"rms"}, {"none"}]


def test_a_shape_that_is_not_near_is_not_waited_for() -> None:
    order = [number for hand in zip(*taken(waiting("compiled", 4, near=2), workers=2), strict=True) for number in hand]
    assert sorted(order) == list(range(12))
    assert max(place - number for place, number in enumerate(order)) <= 2, "the front of the queue was left waiting"


def test_no_job_is_passed_over_for_ever() -> None:
    queue = waiting("compiled", 9, near=2)
    queue.stacks = [(0,), (1,), *((3 * seed,) for seed in range(1, 9))]  # one run of rms among many of layer
    assert taken(queue, workers=1) == [[0, 3, 6, 1, 9, 12, 15, 18, 21, 24]]


def test_eager_jobs_are_taken_in_their_order() -> None:
    assert taken(waiting("eager", 4, near=3), workers=1) == [list(range(12))]
    assert taken(waiting("eager", 2, near=2), workers=2) == [[0, 2, 4], [1, 3, 5]]
