"""The one error that is the user's to mend."""


class InputError(ValueError):
    """A file, flag or config value cannot be used.

    The message names the file or field, the value found and the remedy; main.py prints it
    as one line without a traceback.
    """


class DivergedError(RuntimeError):
    """The loss stopped being a number. The message names the step and the saved batch."""
