"""The file that a page holds, and the line of a run whose network is the page's own."""

import base64
import re

import pandas as pd

import prunemia as pm
from prunemia.book import page


def test_a_download_holds_the_table():
    table = pd.DataFrame({"sample": [3, 1], "exposure": [0.5, 1.0]})

    link = pm.download(table, "exposure.csv").data

    data = re.search(r"base64,([^\"]+)\"", link)[1]
    assert base64.b64decode(data).decode() == "sample,exposure\n3,0.5\n1,1.0\n"
    assert 'download="exposure.csv"' in link
    assert "(2 rows)" in link


def test_a_name_is_escaped():
    assert "<b>" not in pm.download(pd.DataFrame({"a": [1]}), '"><b>').data


def test_a_run_of_the_pages_own_network_says_so(monkeypatch):
    shown = []
    monkeypatch.setattr(page, "display", lambda text: shown.append(text.data))

    pm.experiment({"sparsity": 0.5}, own="digits, my network")

    assert shown == ["*This run: digits, my network, computed here.*"]
