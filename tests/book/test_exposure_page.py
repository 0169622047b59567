"""What the page on exposure needs beside its table."""

import numpy as np
import pandas as pd
import pytest

from prunemia.book import exposure_page


def rates(*values, name="pruned"):
    return pd.DataFrame({"network": name, "alarms": values})


def test_rates_are_described_and_set_beside_chance():
    # 2,000 samples of one rate, each judged by 50 networks: chance alone spreads them like this.
    drawn = np.random.default_rng(5).binomial(50, 0.02, 2000) / 50
    found = exposure_page.alarms(rates(*drawn), 50)

    assert list(found.columns) == ["mean", "50%", "90%", "99%", "max"]
    assert found.loc["pruned", "mean"] == pytest.approx(drawn.mean())
    assert found.loc["by chance", "mean"] == pytest.approx(drawn.mean(), abs=1e-3)
    assert found.loc["by chance", "99%"] == pytest.approx(found.loc["pruned", "99%"], abs=0.021)


def test_a_sample_that_is_always_accused_exceeds_chance():
    found = exposure_page.alarms(rates(*[0.0] * 199, 1.0), 36)
    assert found.loc["pruned", "max"] == 1.0
    assert found.loc["by chance", "max"] < 0.15


def test_neighbours_are_the_nearest_others():
    line = np.arange(7, dtype=np.float32)[:, None]
    found = exposure_page.neighbours(line, [0, 1, 2, 3, 4, 5, 6])
    assert found[0] == pytest.approx((1 + 2 + 3 + 4 + 5) / 5)
    assert found[3] == pytest.approx((1 + 1 + 2 + 2 + 3) / 5)
