import json
import logging

from xseg_jax.modes.warned import keep_warnings, listening

logger = logging.getLogger("xseg_jax.somewhere")


def kept(folder):
    return json.loads((folder / "warnings.json").read_text())


@listening()
def run(folder, *messages, goes_on=True):
    for message in messages:
        logger.warning("%s", message)
    logger.info("no warning")
    logging.getLogger("other.package").warning("of others")
    keep_warnings(folder, goes_on=goes_on)


def test_warnings_are_kept_once_and_in_order(tmp_path):
    run(tmp_path, "b", "a", "b", "two\nlines")
    assert kept(tmp_path) == ["b", "a", r"two\nlines"]


def test_a_run_that_goes_on_keeps_what_it_warned_of_before(tmp_path):
    run(tmp_path, "first")
    run(tmp_path, "second", "first")
    assert kept(tmp_path) == ["first", "second"]
    run(tmp_path, goes_on=False)
    assert kept(tmp_path) == []


def test_listening_ends_with_the_function(tmp_path):
    handlers = list(logging.getLogger("xseg_jax").handlers)
    run(tmp_path, "a")
    assert logging.getLogger("xseg_jax").handlers == handlers


def test_runs_within_runs_hear_their_own(tmp_path):
    (tmp_path / "inner").mkdir()

    @listening()
    def outer():
        logger.warning("outer")
        run(tmp_path / "inner", "inner")
        keep_warnings(tmp_path, goes_on=False)

    outer()
    assert kept(tmp_path / "inner") == ["inner"]
    assert kept(tmp_path) == ["outer", "inner"]
