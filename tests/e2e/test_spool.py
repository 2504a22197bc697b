# SPDX-License-Identifier: Apache-2.0
"""Faults F: the spool and the accounting files."""
import os
import re
import time

import pytest
from tools import MAIL, Talk, gives, running, wait_for

LATER = 'site a { domains = { "a.test" } rule { on = rcpt reply = "451 4.7.1 later" } }\nsite b { domains = { "b.test" } }'


def spool_files(w):
    return sorted((w.dir / "spool").iterdir())


def test_F1_kill_while_idle_and_while_waiting():
    with running(LATER, delivery="retry = { 1h }") as w:
        w.send("s@x.test", ["r@a.test", "r@b.test"])
        gives(w, "r@a.test", "t")
        gives(w, "r@b.test", "d")
        time.sleep(0.2)
        w.kill()
        w.start()
        row = w.ctl("list", "--json")["rows"]
        assert [r["rcpt"] for r in row] == ["r@a.test"] and "451" in row[0]["reply"] and row[0]["attempts"] == 1
        w.kill()
        w.start()
        assert len(w.rows()) == 4 and w.ctl("audit", "--json")["summary"]["balanced"]
        assert sum(a["rcpt"] == "r@b.test" for a in w.arrived()) == 1


def test_F6_F24_disk_guard_and_its_end():
    with running(settings="disk-free-min = 1TB\n") as w:
        with Talk(w.port) as t:
            t.hello()
            t.envelope()
            t.data(MAIL, "452 4.3.1")
            t.say("MAIL FROM:<s@x.test>", "452 4.3.1")
            t.say("NOOP", "250")
        assert w.ctl("status", "--json")["summary"]["spool"]["full"]
        w.stop()
        w.settings = w.settings.replace("1TB", "1MB")
        w.start()

        def lifted():
            with Talk(w.port) as t:
                t.hello()
                return t.say("MAIL FROM:<s@x.test>").startswith("250")
        wait_for("room", lifted)
        w.send("s@x.test", ["r@a.test"])
        gives(w)
        assert "spool_full" in w.log_text()


def test_F24_disk_guard_is_reloaded():
    with running(settings="disk-free-min = 1TB\n") as w:
        with Talk(w.port) as t:
            t.hello()
            t.envelope()
            t.data(MAIL, "452 4.3.1")
        path = w.dir / "mtad.conf"
        path.write_text(path.read_text().replace("disk-free-min = 1TB", "disk-free-min = 1MB"))
        w.ctl("reload")

        def lifted():
            with Talk(w.port) as t:
                t.hello()
                return t.say("MAIL FROM:<s@x.test>").startswith("250")
        wait_for("room", lifted, 4)


def test_F18_foreign_files_stay():
    with running(LATER, delivery="retry = { 1h }") as w:
        w.send("s@x.test", ["r@a.test"])
        gives(w, "r@a.test", "t")
        w.stop()
        (w.dir / "spool" / "note.txt").write_text("do not delete")
        w.start()
        assert len(w.ctl("list", "--json")["rows"]) == 1
        assert (w.dir / "spool" / "note.txt").read_text() == "do not delete"


def test_F13_flipped_bits_in_a_body_are_found():
    with running(LATER, delivery="retry = { 1h }") as w:
        marker = b"find-me-in-the-spool " * 40
        with w.client() as c:
            c.sendmail("s@x.test", ["r@a.test"], b"From: <s@x.test>\r\n\r\n" + marker + b"\r\n")
            c.sendmail("s@x.test", ["other@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("two deferrals", lambda: sum(r["type"] == "t" for r in w.rows()) == 2)
        w.stop()
        hit = 0
        for path in spool_files(w):
            data = path.read_bytes()
            if (at := data.find(b"find-me-in-the-spool find")) >= 0:
                with open(path, "r+b") as f:
                    f.seek(at + 5)
                    f.write(b"X")
                hit += 1
        assert hit
        w.simulator.kill()
        w.simulator.wait()
        w.sim('site a { domains = { "a.test" } }')
        w.start()
        w.ctl("retry", "--all", "--yes")
        gives(w, "other@a.test", "d")
        wait_for("quarantine", lambda: w.ctl("audit", "--json")["summary"]["quarantined"] == 1)
        assert w.ctl("audit", "--json")["summary"]["balanced"] and "quarantined" in w.log_text()
        assert not [a for a in w.arrived() if a["rcpt"] == "r@a.test"]


def test_F13_a_recipient_under_a_key_nobody_wrote():
    """The highest bit of the last recipient's key: its number is greater than that of any mail. It is set aside, not forgotten."""
    with running(LATER, delivery="retry = { 1h }") as w:
        w.send("s@x.test", ["first@a.test", "last@a.test"])
        wait_for("two deferrals", lambda: sum(r["type"] == "t" for r in w.rows()) == 2)
        w.stop()
        data = w.dir / "spool" / "data.mdb"
        page = bytearray(data.read_bytes())
        record = b"r\x01\0\0....\x01\0"  # the second recipient's: kind, version, zero, checksum, number
        hits = [m.start() for m in re.finditer(re.escape(record).replace(rb"\.\.\.\.", b"(?s:....)"), page)]
        hits = [at for at in hits if b"last@a.test" in page[at:at + 60]]
        assert hits
        for at in hits:
            page[at - 1] ^= 0x80  # the key stands before it, little-endian
        data.write_bytes(page)
        w.start()
        audit = wait_for("quarantine", lambda: (a := w.ctl("audit", "--json")["summary"])["quarantined"] == 1 and a)
        assert audit["balanced"] and [r["rcpt"] for r in w.ctl("list", "--json")["rows"]] == ["first@a.test"]


def test_F14_truncated_spool_is_refused_cleanly():
    with running(LATER, delivery="retry = { 1h }") as w:
        for n in range(20):
            w.send("s@x.test", [f"r{n}@a.test"], body="x" * 900 + "\r\n")
        w.stop()
        data = max(spool_files(w), key=lambda p: p.stat().st_size)
        os.truncate(data, data.stat().st_size // 2)
        with pytest.raises(AssertionError, match="mtad ended at start"):
            w.start()
        assert w.daemon.returncode == 1, f"killed by signal {-w.daemon.returncode}"


def test_F19_other_format_is_refused():
    with running() as w:
        w.stop()
        data = max(spool_files(w), key=lambda p: p.stat().st_size)
        data.write_bytes(b"this is no spool" * 1000)
        with pytest.raises(AssertionError, match="mtad ended at start"):
            w.start()
        assert w.daemon.returncode == 1


def test_F22_rotation_by_size_in_a_burst():
    with running('site a { domain-pattern = "d%02d.test" domains-count = 10 }', settings="accounting-rotate-size = 8KB\n") as w:
        with w.client() as c:
            for n in range(300):
                c.sendmail("s@x.test", [f"r{n}@d{n % 10:02d}.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
                if n % 100 == 99:
                    time.sleep(1.2)  # files are looked at between their syncs

        def files():
            return sorted(w.dir.glob("acct.csv*"))

        def rcpts(kind):
            return sorted(line.split(",")[4] for p in files() for line in p.read_text().splitlines() if line.startswith(kind + ","))
        wait_for("300 records", lambda: len(rcpts("d")) == 300)
        assert len(files()) >= 3 and len(set(rcpts("d"))) == 300 and len(set(rcpts("r"))) == 300
        for p in files():
            lines = p.read_text().splitlines()
            assert lines[0].startswith("type,timeLogged") and p.read_text().endswith("\n")
            assert all(line.startswith(("d,", "r,")) for line in lines[1:])


def test_F23_half_a_record_at_the_end():
    with running() as w:
        w.send("s@x.test", ["r1@a.test"])
        gives(w, "r1@a.test")
        time.sleep(0.3)
        w.kill()
        with open(w.dir / "acct.csv", "a") as f:
            f.write("d,2026-01-01 00:00:00+0000,half a rec")
        w.start()
        w.send("s@x.test", ["r2@a.test"])
        gives(w, "r2@a.test")
        assert [r["type"] + r["rcpt"] for r in w.rows() if r["type"] == "d"] == ["dr1@a.test", "dr2@a.test"]
        assert "half a rec" not in (w.dir / "acct.csv").read_text()


def test_H10_accounting_file_moved_away():
    with running() as w:
        w.send("s@x.test", ["r1@a.test"])
        gives(w, "r1@a.test")
        time.sleep(0.3)
        os.rename(w.dir / "acct.csv", w.dir / "acct.csv.1")
        w.ctl("rotate")
        time.sleep(0.3)
        w.send("s@x.test", ["r2@a.test"])

        def all_rows():
            return [line for p in w.dir.glob("acct.csv*") for line in p.read_text().splitlines() if line.startswith("d,")]
        wait_for("both records", lambda: len(all_rows()) == 2)


def test_bodies_beyond_memory_max_come_from_the_spool():
    """More mail than memory: everything is accepted (or 452) and arrives as it was."""
    with running('site a { domains = { "a.test" } latency = 10ms }', settings="memory-max = 16MB\n", delivery="connections = 2") as w:
        body = ("y" * 76 + "\r\n") * 26000
        with w.client() as c:
            for n in range(20):
                c.sendmail("s@x.test", [f"r{n}@a.test"], f"From: <s@x.test>\r\n\r\n{body}".encode())
        wait_for("20 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 20, 60)
        assert len({a["crc"] for a in w.arrived()}) == 1
