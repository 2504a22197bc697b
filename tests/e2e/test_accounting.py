# SPDX-License-Identifier: Apache-2.0
"""The accounting files in an operator's hands: the real logrotate, a reload, a folder in the way."""
import collections
import gzip
import os
import re
import shutil
import subprocess
import time

import pytest

from tools import gives, running
from world import SOURCE, program, wait_for


def lines(w, pattern="acct.csv*"):
    """All records, of all files, compressed ones too."""
    for path in sorted(w.dir.glob(pattern)):
        if path.is_dir():
            continue
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt") as f:
            yield from f.read().splitlines()


def delivered(w, pattern="acct.csv*"):
    return collections.Counter(line.split(",")[4] for line in lines(w, pattern) if line.startswith("d,"))


def test_logrotate_under_load():
    """contrib/logrotate as it is, but for the paths, the account and a name for each second."""
    with running('site a { domains = { "a.test" } }', settings="accounting-rotate-size = 0\naccounting-rotate-age = 0s\n") as w:
        text = (SOURCE / "contrib" / "logrotate").read_text()
        text = text.replace("/var/log/mtad", str(w.dir)).replace("su mtad mtad", "dateformat -%Y%m%d-%s")
        assert str(w.dir) in text and "dateformat" in text
        config = w.dir / "logrotate.conf"
        config.write_text(text)
        config.chmod(0o644)
        load = subprocess.Popen([program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test", "--rate",
                                 "200", "--messages", "1400", "--sessions", "5", "--size", "300", "--quiet"],
                                stdout=subprocess.DEVNULL)
        for _ in range(4):
            time.sleep(1.3)
            subprocess.run(["/usr/sbin/logrotate", "-f", "-s", str(w.dir / "state"), str(config)], check=True)
        assert load.wait(60) == 0
        wait_for("1400 records", lambda: sum(delivered(w).values()) >= 1400)
        assert len(list(w.dir.glob("acct.csv-*"))) == 4 and list(w.dir.glob("acct.csv-*.gz"))
        assert set(delivered(w).values()) == {1} and len(delivered(w)) == 1400
        heads = [line for line in lines(w) if not line.startswith(("d,", "r,"))]
        assert len(heads) == 5 and len(set(heads)) == 1, "each file begins with the names, no record is split"


ROTATES_NEVER = "accounting-rotate-size = 0\naccounting-rotate-age = 0s\n"


def test_H10_moved_without_a_signal():
    """No record is lost or split, and there is a new file at the path before anybody asks for it."""
    with running(settings=ROTATES_NEVER) as w:
        for n in range(3):
            w.send("s@x.test", [f"r{n}@a.test"])
            wait_for("its record", lambda: delivered(w)[f"r{n}@a.test"])
            (w.dir / "acct.csv").rename(w.dir / f"acct.csv.{n}")
            w.send("s@x.test", [f"after{n}@a.test"])
            wait_for("a new file", (w.dir / "acct.csv").exists)
        w.send("s@x.test", ["last@a.test"])
        wait_for("a record in it", lambda: delivered(w, "acct.csv")["last@a.test"])
        assert delivered(w) == {f"{name}{n}@a.test": 1 for name in ("r", "after") for n in range(3)} | {"last@a.test": 1}
        heads = [line for line in lines(w) if not line.startswith(("d,", "r,"))]
        assert len(heads) == 4 and len(set(heads)) == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_H10_copytruncate(end):
    """What was written before the copy is in the copy, the rest behind it, also when the next start finds a file that is
    shorter than the mark in the spool. A crash before that mark was made again may repeat records and loses none."""
    with running(settings=ROTATES_NEVER) as w:
        for n in range(20):
            w.send("s@x.test", [f"r{n}@a.test"])
        wait_for("20 records", lambda: len(delivered(w)) == 20)
        shutil.copy(w.dir / "acct.csv", w.dir / "acct.csv.1")
        os.truncate(w.dir / "acct.csv", 0)
        w.send("s@x.test", ["after@a.test"])
        wait_for("its record", lambda: delivered(w)["after@a.test"])
        w.stop() if end == "stop" else w.kill()
        w.start()
        w.send("s@x.test", ["last@a.test"])
        wait_for("its record", lambda: delivered(w)["last@a.test"])
        assert set(delivered(w)) == {f"r{n}@a.test" for n in range(20)} | {"after@a.test", "last@a.test"}
        assert end == "kill" or set(delivered(w).values()) == {1}
        assert b"\0" not in (w.dir / "acct.csv").read_bytes()


def test_another_path_waits_for_a_restart():
    with running() as w:
        w.send("s@x.test", ["r1@a.test"])
        gives(w, "r1@a.test")
        config = w.dir / "mtad.conf"
        config.write_text(config.read_text().replace('/acct.csv"', '/books.csv"'))
        said = w.ctl("reload")
        assert re.search(r"accounting-file: \S+acct.csv\S* -> \S+books.csv\S* \(needs a restart\)", said), said
        w.send("s@x.test", ["r2@a.test"])
        gives(w, "r2@a.test")
        w.ctl("rotate")
        w.send("s@x.test", ["r3@a.test"])
        wait_for("r3 in the old file", lambda: delivered(w)["r3@a.test"])
        assert not (w.dir / "books.csv").exists()
        w.stop()
        w.write_config = lambda: config
        w.start()
        w.send("s@x.test", ["r4@a.test"])
        wait_for("r4 in the new file", lambda: delivered(w, "books.csv*"))
        assert delivered(w, "books.csv*") == {"r4@a.test": 1}
        assert delivered(w) == {"r1@a.test": 1, "r2@a.test": 1, "r3@a.test": 1}


def test_mail_goes_on_while_accounting_cannot():
    with running() as w:
        w.send("s@x.test", ["before@a.test"])
        gives(w, "before@a.test")
        (w.dir / "acct.csv").rename(w.dir / "acct.csv.moved")
        (w.dir / "acct.csv").mkdir()
        w.send("s@x.test", ["trips@a.test"])
        wait_for("the alarm", lambda: " error accounting_failed " in w.log_text())
        for n in range(20):
            w.send("s@x.test", [f"during{n}@a.test"])
        wait_for("deliveries", lambda: len(w.arrived()) == 22)
        assert w.ctl("status", "--json")["summary"]["accounting_failed"]
        assert w.ctl("audit", "--json")["summary"]["balanced"]
        w.kill()
        (w.dir / "acct.csv").rmdir()
        w.start()
        wait_for("all records", lambda: len(delivered(w)) == 22)
        assert set(delivered(w).values()) == {1}
        assert not w.ctl("status", "--json")["summary"]["accounting_failed"]


def test_manual_has_each_column():
    with running() as w:
        names = next(lines(w)).split(",")
    manual = (SOURCE / "mtad" / "man" / "mtad.8").read_text()
    section = manual.split(".Sh ACCOUNTING", 1)[1].split(".Sh ", 1)[0]
    items = [name for line in section.splitlines() if line.startswith(".It ") for name in line[4:].split(" , ")]
    known = re.findall(r"^COLUMN\(([\w-]+),", (SOURCE / "mtad" / "conf" / "conf_column.def").read_text(), re.M)
    assert sorted(items) == sorted(known)
    assert len(names) == 23 and set(names) < set(known)
