"""Work done ahead comes in order, never far ahead, and its errors come where it is used."""

from contextlib import closing
from threading import Event

import pytest

from experiments.gradient_norms.ahead import ahead


def test_in_order_and_never_far_ahead():
    begun = []

    def square(number: int) -> int:
        begun.append(number)
        return number * number

    for position, (item, result) in enumerate(ahead(square, range(20), workers=2)):
        assert item == position
        assert result() == item * item == result()  # twice: a unit looks before and after training
        assert max(begun) <= position + 2
    assert sorted(begun) == list(range(20))


def test_an_error_comes_where_the_item_is_used():
    seen = []
    with pytest.raises(ZeroDivisionError):
        for item, result in ahead(lambda number: 1 // number, [2, 1, 0, 3], workers=2):
            result()
            seen.append(item)
    assert seen == [2, 1]


def test_closing_drops_what_was_not_begun():
    go, begun = Event(), []

    def wait(number: int) -> None:
        begun.append(number)
        go.wait(10)

    with closing(ahead(wait, range(9), workers=1)) as coming:
        next(coming)
        go.set()
    assert begun in ([0], [0, 1])  # the second was handed in, not its successors
