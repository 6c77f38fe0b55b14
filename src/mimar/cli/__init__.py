"""The command line; thin: parse, call, print."""

from mimar.cli._app import app, main

__all__ = ["app", "main"]
