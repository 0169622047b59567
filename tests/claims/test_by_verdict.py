"""The words that a verdict calls for."""

import pytest

from prunemia.claims import OPEN, Claim, by_verdict

WORDS = ("falls", "may move", "rises", "no table")


@pytest.mark.parametrize(
    ("values", "word"),
    [((0.1, 0.11, 0.12), "rises"), ((-0.1, -0.11, -0.12), "falls"), ((-0.1, 0.1), "may move")],
)
def test_three_branches(values, word):
    assert by_verdict(Claim("id", "text", {"warm-up": values}), *WORDS) == word


def test_a_claim_that_lacks_rules_is_not_told_as_decided():
    claim = Claim("id", "text", {"warm-up": (0.1, 0.11, 0.12)}, ruled=True)
    assert claim.verdict == OPEN
    assert by_verdict(claim, *WORDS) == "may move"


def test_without_a_claim_there_is_no_verdict():
    assert by_verdict(None, *WORDS) == "no table"
