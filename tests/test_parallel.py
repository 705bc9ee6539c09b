"""Work in several processes comes out in order, and a dead worker is one line."""

import itertools
import os

import pytest
from refusals import refused

from stages.lib.errors import UserError
from stages.lib.parallel import map_ordered


def square(number: int) -> int:
    return number * number


def refuse_three(number: int) -> int:
    if number == 3:
        raise UserError("not-wanted", "three", "is not wanted")
    return number


def die(number: int) -> int:
    os._exit(9)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_the_order_of_the_items(workers):
    found = list(map_ordered(square, range(20), workers))
    assert found == [(i, i * i) for i in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_taken_as_they_are_needed(workers):
    taken = []
    items = (taken.append(i) or i for i in itertools.count())
    results = map_ordered(square, items, workers)
    assert [next(results) for _ in range(3)] == [(0, 0), (1, 1), (2, 4)]
    assert len(taken) <= 3 + 2 * workers
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_found_by_a_worker_arrives(workers):
    with refused("not-wanted", "three"):
        list(map_ordered(refuse_three, range(9), workers))


def test_a_worker_that_dies_is_one_line():
    with refused("worker-died"):
        list(map_ordered(die, range(4), 2))


def die_at_three(number: int) -> int:
    return os._exit(9) if number == 3 else number


def test_the_item_at_which_a_worker_dies_is_named():
    with refused("file-kills-reader", "no. 3"):
        list(map_ordered(die_at_three, range(9), 2, "no. {}".format))
