"""The mini-language of --cells."""

import pytest

from experiments.cell_specs import CellSpec, parse


def test_commas_inside_brackets_belong_to_the_cell():
    got = parse(" elman( nonlinearity = relu , init=identity ) ,lstm(forget_bias=-0.5),gru, lstm()")
    assert got == [
        CellSpec("elman", {"nonlinearity": "relu", "init": "identity"}),
        CellSpec("lstm", {"forget_bias": -0.5}),
        CellSpec("gru", {}),
        CellSpec("lstm", {}),
    ]


@pytest.mark.parametrize(
    "value", [("1", 1), ("1.0", 1.0), ("1e-3", 1e-3), ("true", True), ("False", False), ("relu", "relu")]
)
def test_values_are_numbers_names_and_booleans(value):
    word, want = value
    got = parse(f"c(a={word})")[0].options["a"]
    assert got == want and type(got) is type(want)


def test_a_spec_prints_as_it_is_written():
    text = "elman(nonlinearity=relu,init=identity),lstm(forget_bias=0,x=true)"
    assert ",".join(map(str, parse(text))) == text


NONSENSE = [
    *("", "3", "lstm,", ",lstm", "lstm a", "lstm(", "lstm)", "lstm((a=1))", "lstm(a=1)b"),
    *("lstm(a)", "lstm(a=)", "lstm(=1)", "lstm(a=1,a=2)", "lstm(a=1,)"),
    *("lstm(a=nan)", "lstm(a=-inf)", "lstm(a=1e999)", "lstm(a=__import__('os'))", "lstm(a=[1])"),
]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_refused_in_one_line(text):
    with pytest.raises(ValueError) as error:
        parse(text)
    assert "write" in str(error.value) and "\n" not in str(error.value)
