"""`python -m mimar`."""

from mimar.cli import main

main()
