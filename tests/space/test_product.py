"""A space of named choices, by itself."""

import pytest

from mimar.errors import ArchitectureError
from mimar.space import ProductSpace

SPACE = ProductSpace({"depth": (1, 2), "ratio": (0.5, 1.0), "kind": ("a", "b")})


def test_a_choice_has_the_type_of_an_option():
    good = {"depth": 1, "ratio": 0.5, "kind": "a"}
    assert SPACE.from_json(good) == (1, 0.5, "a")
    assert SPACE.from_json({**good, "ratio": 1}) == (1, 1.0, "a")
    for wrong in ({"depth": 1.0}, {"depth": True}, {"ratio": True}, {"kind": 1}):
        with pytest.raises(ArchitectureError, match=next(iter(wrong))):
            SPACE.from_json({**good, **wrong})
