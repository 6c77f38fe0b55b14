"""A clock that is set back while a search runs, as after a battery went flat or a server told the time."""

from __future__ import annotations

import itertools
import sqlite3
import time
from contextlib import closing
from pathlib import Path

ASKED = ("--max-params", "30M", "--strategy", "nsga2")


def test_trials_and_resuming_do_not_hang_on_the_clock(design, mimar, monkeypatch, tmp_path: Path) -> None:
    calm = design(*ASKED, "--study", "calm.db").json
    noon, jumps = time.time(), itertools.count()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: noon - 3600 * next(jumps))
        design(*ASKED, "--study", "back.db", "--trials", 8)
        back = design("--study", "back.db", "--resume").json
        assert mimar("show", "back.db", "--json").json["front"] == calm["front"]
        assert Path(mimar("report", "back.db", "--json").json["path"]).exists()
    assert back["front"] == calm["front"]
    assert back["trials"] == calm["trials"]
    with closing(sqlite3.connect(tmp_path / "back.db")) as db:
        written = [at for (at,) in db.execute("SELECT written_at FROM events ORDER BY position")]
    assert written == sorted(written, reverse=True)  # the clock did run backwards
