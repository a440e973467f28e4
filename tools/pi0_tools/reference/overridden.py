"""Other values for what LeRobot has no setting for."""

from unittest.mock import patch


def overridden(owner, **attributes):
    """A context in which attributes of a module, a class or an object of LeRobot have these values."""
    return patch.multiple(owner, **attributes)
