import dataclasses

from prunemia import plots, registry


def test_a_kind_that_is_registered_later_has_its_colour_in_every_figure(ax):
    toy = dataclasses.replace(registry.ATTACKS["conf"], colour="#123456")
    with registry.ATTACKS.registered("toy", toy):
        plots.roc({"toy": ([True, False, False], [1.0, 0.0, 0.5])}, ax)

        assert plots.ATTACKS["toy"] == "#123456"
        assert list(plots.ATTACKS)[-1] == "toy"
    assert ax.get_lines()[0].get_color() == "#123456"
    assert "toy" not in plots.ATTACKS


def test_no_two_kinds_of_one_table_share_a_colour():
    for colours in (plots.ATTACKS, plots.DEFENSES, plots.PRUNERS):
        assert len(set(colours.values())) == len(colours)
