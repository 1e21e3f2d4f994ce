"""The leak in words: whether to worry, what to do, and what earlier versions measured."""

import pytest

from xseg_jax.report.leaks import leak_line, leak_sentence, noun

FOUND = {
    "agreement": 0.776, "typical": 0.764, "leak": 0.012, "worry_from": 0.0787, "chance": 0.438,
    "nearest": "z", "smallest_distance": 150,
}  # fmt: skip


def test_no_reason_to_worry():
    assert leak_line(FOUND) == (
        "+0.012, no reason to worry below 0.079: labels agree with the nearest training slice (150 "
        "away or more) by 0.776, with those far away by 0.764"
    )
    assert "memory" not in leak_line(FOUND)


@pytest.mark.parametrize(
    ("nearest", "remedy"),
    [
        ("z", "--config.data.split.gap"),
        ("within", "--config.data.split.gap"),
        ("image", "--config.data.split.group_pattern"),
    ],
)
def test_a_reason_to_worry_comes_with_what_to_do(nearest, remedy):
    said = leak_line(FOUND | {"nearest": nearest, "agreement": 0.9, "leak": 0.136}, "image")
    assert said.startswith("+0.136, so that memory passes much of this test: labels agree ")
    assert remedy in said
    assert "slice" not in said or nearest == "within"  # Which is of slices alone.


def test_one_training_slice_alone():
    said = leak_line(FOUND | {"typical": None, "leak": None, "worry_from": None})
    assert said.startswith("not known, for no other training slice")
    assert "by chance 0.438" in said
    assert "None" not in said


def test_what_an_earlier_version_measured_is_no_leak():
    said = leak_line({"agreement": 0.34, "chance": 0.33, "nearest": "z", "smallest_distance": 9})
    assert "0.340" in said
    assert "0.330" in said
    assert "+" not in said


@pytest.mark.parametrize(("names", "begin"), [([], "none of these"), (["a"], "1 of these slices ")])
def test_an_evaluation_says_what_was_trained_on(names, begin):
    leak = {"agreement": None, "chance": None, "trained_on": names}
    assert leak_line(leak).startswith(begin)
    assert leak_sentence(leak) == ""


def test_nothing_measured_is_nothing_said():
    for leak in (None, {}, {"agreement": None, "chance": None}):
        assert leak_line(leak) == leak_sentence(leak) == ""


def test_for_a_paper():
    assert leak_sentence(FOUND) == (
        "Test labels agree with the nearest training slice (150 away or more) by 0.776 and with "
        "those far away by 0.764: memory of the nearest would gain 0.012."
    )
    alone = leak_sentence(FOUND | {"typical": None})
    assert alone.endswith("with the nearest training slice by 0.776, by chance 0.438.")


def test_results_of_earlier_versions_have_slices():
    assert noun({}) == "slice"
    assert noun({"planes": "image"}) == "image"
