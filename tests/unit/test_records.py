"""Records behave as the dataclasses that type checkers take them for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import httpd_wsgi
from httpd_wsgi.shared.records import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2


@dataclass(slots=True)
class Basket:
    things: list[int] = field(default_factory=list)


def test_fields_are_given_by_place_or_name_or_have_defaults() -> None:
    assert (Point(1).y, Point(1, 3).y, Point(y=3, x=1).y) == (2, 3, 3)


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})]
)
def test_what_does_not_fit_the_fields_is_refused(
    given: tuple[int, ...], named: dict[str, int]
) -> None:
    with pytest.raises(TypeError):
        Point(*given, **named)


def test_defaults_that_are_made_belong_to_one_record() -> None:
    one, other = Basket(), Basket()
    one.things.append(1)
    assert other.things == []


def test_records_are_equal_by_value_and_frozen_ones_are_keys() -> None:
    assert Point(1) == Point(1, 2) != Point(2)
    assert len({Point(1), Point(1, 2)}) == 1
    with pytest.raises(TypeError):
        hash(Basket())


def test_a_changed_copy_leaves_the_first_as_it_was() -> None:
    first = Point(1)
    assert replace(first, y=5) == Point(1, 5) and first == Point(1)


def test_records_are_shown_and_matched_by_their_fields() -> None:
    assert repr(Point(1)).endswith("Point(x=1, y=2)")
    match Point(1):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_a_supervisor_is_small_because_it_does_without_large_modules() -> None:
    """Without what was loaded when it comes to this code: site-packages may load anything at start."""
    code = "before = set(sys.modules); import httpd_wsgi.supervisor.supervisor; "
    code += "print(*sorted(set(sys.modules) - before))"
    path = httpd_wsgi.__path__[0].rpartition("/")[0]
    command = [sys.executable, "-c", f"import sys; sys.path.append({path!r}); {code}"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"dataclasses", "inspect", "json", "random", "re", "typing"} & set(
        run.stdout.split()
    )
