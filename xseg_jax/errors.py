"""The errors that are the user's to mend; main.py prints each as one line, without a traceback."""


class RunError(Exception):
    """What ends a run for a reason that its user can act on.

    Attributes:
      exit_code: of main.py.
      said_as: what stands before the message in main.py's line.
    """

    exit_code = 1
    said_as = "error: "


class InputError(RunError, ValueError):
    """A file, flag or config value cannot be used.

    The message names the file or field, the value found and the remedy.
    """


class DivergedError(RunError):
    """The loss stopped being a number. The message names the step and the saved batch."""


class SaveError(RunError):
    """A checkpoint could not be written. The message says why and what is left."""


class StoppedError(RunError):
    """A signal asked the run to stop. The message says what was saved."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again.
    said_as = ""  # Somebody asked for it: nothing is wrong.
