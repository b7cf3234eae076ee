"""The one error that a person reads: what can't be done, and what to do."""


class Failure(Exception):
    """Told without a trace, exit code 1."""
