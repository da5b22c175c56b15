"""An installation to run steps in."""

from tests.installation import opened, sandbox, served

__all__ = ["opened", "sandbox", "served"]
