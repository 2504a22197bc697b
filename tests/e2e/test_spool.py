# SPDX-License-Identifier: Apache-2.0
"""Faults F: the spool and the accounting files."""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time

import pytest
from tools import MAIL, Talk, gives, program, running, wait_for

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
    """What is in the queue goes out meanwhile, and its outcome is recorded, with a bounce mail where one is due."""
    with running('site a { domains = { "a.test" } }\nsite c { domains = { "c.test" } rule { on = rcpt reply = "550 5.1.1 no" } }',
                 settings="disk-free-min = 1MB\n") as w:
        w.ctl("pause", "all")
        w.send("s@a.test", [f"r{n}@a.test" for n in range(20)] + ["wrong@c.test"])
        w.stop()
        w.settings = w.settings.replace("1MB", "1TB")
        w.start()

        def refused():
            with Talk(w.port) as t:
                t.hello()
                return t.say("MAIL FROM:<s@x.test>").startswith("452 4.3.1")
        with Talk(w.port) as t:
            t.hello()
            t.envelope()
            t.data(MAIL, "452 4.3.1")
            t.say("MAIL FROM:<s@x.test>", "452 4.3.1")
            t.say("NOOP", "250")
        assert not w.arrived()
        w.ctl("resume", "all")
        wait_for("their outcomes", lambda: sum(r["type"] == "d" for r in w.rows()) == 21 and any(r["type"] == "b" for r in w.rows()))
        assert w.ctl("status", "--json")["summary"]["spool"]["full"] and refused() and "spool_has_room" not in w.log_text()
        w.kill()
        w.settings = w.settings.replace("1TB", "1MB")
        w.start()
        wait_for("room", lambda: not refused())
        w.send("s@x.test", ["r@a.test"])
        gives(w)
        wanted = ["r@a.test", "s@a.test", *(f"r{n}@a.test" for n in range(20))]
        assert sorted(a["rcpt"] for a in w.arrived()) == sorted(wanted)
        assert "spool_full" in w.log_text() and w.ctl("audit", "--json")["summary"]["balanced"]


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
            for m in re.finditer(rb"\n(find-me-in-the-spool )+", data):  # an older copy of its page may stand there, too
                with open(path, "r+b") as f:
                    f.seek(m.start() + 5)
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
        record = b"r\x02\0\0....\x01\0"  # the second recipient's: kind, version, zero, checksum, number
        hits = [m.start() for m in re.finditer(re.escape(record).replace(rb"\.\.\.\.", b"(?s:....)"), page)]
        hits = [at for at in hits if b"last@a.test" in page[at:at + 70]]
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


def test_F14_truncated_under_the_daemon():
    """Nothing is acknowledged and nothing reads what is gone; put right, it goes on by itself."""
    with running(LATER, delivery="retry = { 1h }") as w:
        w.send("s@x.test", ["r@a.test"])
        gives(w, "r@a.test", "t")
        data = w.dir / "spool" / "data.mdb"
        whole = data.read_bytes()
        os.truncate(data, len(whole) - 4096)
        with Talk(w.port) as t:
            t.hello()
            t.envelope("s@x.test", ["lost@b.test"])
            t.data(MAIL, "45")
        wait_for("the alarm", lambda: re.search(r" error spool_failed .*truncated", w.log_text()))
        time.sleep(1.5)  # it tries again each second
        assert w.daemon.poll() is None and "spool_recovered" not in w.log_text()
        with open(data, "r+b") as f:
            f.seek(len(whole) - 4096)
            f.write(whole[-4096:])
        wait_for("recovery", lambda: "spool_recovered" in w.log_text())
        w.send("s@x.test", ["kept@b.test"])
        gives(w, "kept@b.test")
        assert [a["rcpt"] for a in w.arrived()] == ["kept@b.test"] and w.ctl("audit", "--json")["summary"]["balanced"]


def test_F19_other_format_is_refused():
    with running() as w:
        w.stop()
        data = w.dir / "spool" / "data.mdb"
        data.write_bytes(b"this is no spool" * 1000)
        with pytest.raises(AssertionError, match=r"cannot start: spool \S*/spool: open of the data file: MDB_INVALID: File is not an LMDB file"):
            w.start()
        assert w.daemon.returncode == 1
        assert data.read_bytes() == b"this is no spool" * 1000


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


def test_bodies_beyond_memory_max_come_from_the_spool():
    """More mail than memory: everything is accepted (or 452) and arrives as it was."""
    with running('site a { domains = { "a.test" } latency = 10ms }', settings="memory-max = 16MB\n", delivery="connections = 2") as w:
        body = ("y" * 76 + "\r\n") * 26000
        with w.client() as c:
            for n in range(20):
                c.sendmail("s@x.test", [f"r{n}@a.test"], f"From: <s@x.test>\r\n\r\n{body}".encode())
        wait_for("20 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 20, 60)
        assert len({a["crc"] for a in w.arrived()}) == 1


SLOW_END = 'site a { domains = { "a.test" } rule { on = dot delay = 2s do = accept } }\n'
BROKEN = {"F4 each sync": "failing", "F5 each write": "bad", "F5 half of each write": "short", "F7 F26 no room, not even to write over what is there": "full",
          "F8 read-only": "read-only", "F8 over quota": "over-quota", "F10 the meta pages": "bad-meta"}


@pytest.mark.parametrize("state", BROKEN.values(), ids=BROKEN)
def test_F5_F7_F8_F10_a_success_that_cannot_be_recorded(state):
    """It is on its way when the disk breaks, and recorded when it is well: no second copy, nothing acknowledged meanwhile."""
    with running(SLOW_END + 'site b { domains = { "b.test" } }', disk=True, delivery="retry = { 1h }") as w:
        w.send("s@x.test", ["r@a.test"])
        wait_for("its arrival", lambda: w.ctl("status", "--json")["summary"]["leased"] == 1)
        w.disk.becomes(state)
        with Talk(w.port) as t:
            t.hello()
            t.envelope("s@x.test", ["lost@b.test"])
            t.data(MAIL, "45")
        wait_for("the alarm", lambda: "spool_failed" in w.log_text())
        wait_for("the arrival", lambda: w.arrived())
        w.disk.becomes("well")
        wait_for("recovery", lambda: "spool_recovered" in w.log_text())
        gives(w, "r@a.test")
        w.send("s@x.test", ["r@b.test"])
        gives(w, "r@b.test")
        wait_for("an empty queue", lambda: w.ctl("audit", "--json")["summary"]["queued"] == 0)
        assert w.ctl("audit", "--json")["summary"]["balanced"]
        w.kill()
        w.start()
        assert w.ctl("status", "--json")["summary"]["recipients"] == 0
        assert [a["rcpt"] for a in w.arrived()] == ["r@a.test", "r@b.test"]


def test_F17_a_sync_of_five_seconds():
    """Who submits waits; who asks is answered, and sessions under way go on."""
    with running('site a { domains = { "a.test" } rule { on = dot delay = 1s do = accept } }', disk=True) as w:
        w.send("s@x.test", ["first@a.test"])
        wait_for("the session", lambda: w.ctl("status", "--json")["summary"]["leased"] == 1)
        w.disk.becomes("hanging")
        begun = time.monotonic()
        with Talk(w.port, timeout=60) as t, Talk(w.port) as other:
            t.hello()
            t.envelope("s@x.test", ["second@a.test"])
            t.say("DATA", "354")
            t.raw(MAIL)
            other.hello()
            while time.monotonic() - begun < 5:
                other.say("NOOP", "250")
                w.ctl("status")
                time.sleep(0.1)
            assert [a["rcpt"] for a in w.arrived()] == ["first@a.test"]
            w.disk.becomes("well")
            t.expect("250")
            assert time.monotonic() - begun > 5
        gives(w, "second@a.test")
        assert "stalled" not in w.log_text() and len(w.arrived()) == 2


def test_mail_that_is_held_is_held_on_disk():
    """mtactl(8) promises it to who got the answer; who gets none, or an error, is told why."""
    with running(LATER, disk=True, delivery="retry = { 1h }") as w:
        w.send("s@x.test", [f"r{n}@a.test" for n in range(90)])
        w.send("s@x.test", [f"r{n}@a.test" for n in range(90, 110)])
        wait_for("the deferrals", lambda: sum(r["type"] == "t" for r in w.rows()) == 110)

        def held():
            return w.ctl("list", "--all", "--held", "--json", "--limit", "0")["summary"]["shown"]
        w.disk.becomes("hanging")
        hold = subprocess.Popen([program("mtactl"), "--socket", str(w.dir / "control"), "hold", "--all", "--yes"], stdout=subprocess.DEVNULL)
        wait_for("the hold", lambda: held() == 110)
        time.sleep(0.5)
        assert hold.poll() is None
        w.disk.becomes("well")
        assert hold.wait(60) == 0
        w.kill()
        w.start(wrapper=w.disk.wrapper)
        wait_for("the queue", lambda: not w.ctl("status", "--json")["summary"]["recovering"])
        assert held() == 110
        w.disk.becomes("failing")
        refused = w.ctl("release", "--all", "--yes", check=False)
        assert refused.returncode == 1 and "the spool cannot be written" in refused.stderr, refused
        w.disk.becomes("well")
        wait_for("recovery", lambda: "spool_recovered" in w.log_text())
        w.kill()
        w.start()
        wait_for("the queue", lambda: not w.ctl("status", "--json")["summary"]["recovering"])
        assert held() == 0
        assert w.ctl("audit", "--json")["summary"]["balanced"]


@contextlib.contextmanager
def submitting(w, messages):
    """A load for a.test meanwhile; yields a function: who was acknowledged until now."""
    ledger = w.dir / "acked.tsv"
    ledger.touch()
    load = subprocess.Popen([program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test", "--messages", str(messages),
                             "--sessions", "5", "--size", "3000", "--rate", "500", "--ledger", str(ledger)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def acknowledged():
        lines = [line.split("\t") for line in ledger.read_text().splitlines() if line.count("\t") >= 6]
        return {f[3] for f in lines if f[1] == "acked"}
    try:
        yield acknowledged
    finally:
        load.kill()
        load.wait()


def all_of(w):
    """The recipients of the queue, when it has been read."""
    wait_for("the whole queue", lambda: not w.ctl("status", "--json")["summary"]["recovering"])
    assert w.ctl("audit", "--json")["summary"]["balanced"]
    return {r["rcpt"] for r in w.ctl("list", "--all", "--json", "--limit", "0")["rows"]}


def without(dump, is_dropped):
    """An mdb_dump(1) without the records of the table of bodies of which is_dropped(id, chunk) is true."""
    out, table, key = [], "", None
    for line in dump.splitlines():
        if line.startswith("database="):
            table = line[9:]
        if not line.startswith(" ") or table != "body":
            out.append(line)
        elif key is None:
            key = line
        else:
            number = int.from_bytes(bytes.fromhex(key.strip()), "little")
            if not is_dropped(number >> 20, number & 0xfffff):
                out += [key, line]
            key = None
    return "\n".join(out) + "\n"


def test_F12_H11_bodies_that_are_gone():
    """One wholly, of one its end: both are set aside, and said. The next goes out."""
    with running(LATER, delivery="retry = { 1h }") as w:
        for rcpt in ("gone@a.test", "cut@a.test", "whole@a.test"):
            w.send("s@x.test", [rcpt], body="a line of text\r\n" * 1000)
        wait_for("three deferrals", lambda: sum(r["type"] == "t" for r in w.rows()) == 3)
        gone, cut, _ = (int(r["id"], 16) for r in sorted(w.ctl("list", "--json")["rows"], key=lambda r: r["id"]))
        w.stop()
        dump = subprocess.run(["mdb_dump", "-a", f"{w.dir}/spool"], capture_output=True, text=True, check=True).stdout
        (w.dir / "spool" / "data.mdb").unlink()
        kept = without(dump, lambda n, chunk: n == gone or (n == cut and chunk > 0))
        assert dump.count("\n") - kept.count("\n") > 4
        subprocess.run(["mdb_load", f"{w.dir}/spool"], input=kept, text=True, check=True)
        w.simulator.kill()
        w.simulator.wait()
        w.sim('site a { domains = { "a.test" } }')
        w.start()
        w.ctl("retry", "--all", "--yes")
        gives(w, "whole@a.test")
        audit = wait_for("quarantine", lambda: (a := w.ctl("audit", "--json")["summary"])["quarantined"] == 2 and a)
        assert audit["balanced"] and audit["queued"] == 0 and w.log_text().count(" quarantined ") == 2
        assert [a["rcpt"] for a in w.arrived()] == ["whole@a.test"]


def test_F21_backup_while_it_runs(tmp_path):
    """As mtad(8) says: mdb_copy. All that had been acknowledged is in it, whatever is written meanwhile."""
    with running(LATER, delivery="retry = { 1h }") as w:
        with submitting(w, 2000) as acknowledged:
            wait_for("some mail", lambda: len(acknowledged()) > 200)
            before = acknowledged()
            subprocess.run(["mdb_copy", str(w.dir / "spool"), str(tmp_path)], check=True, timeout=60)
            wait_for("more mail", lambda: len(acknowledged()) > len(before) + 200)
        w.kill()
        shutil.rmtree(w.dir / "spool")
        (w.dir / "spool").mkdir(mode=0o700)
        shutil.copy(tmp_path / "data.mdb", w.dir / "spool" / "data.mdb")
        w.start()
        assert before <= all_of(w)


def test_F27_spool_on_another_device():
    """As mtad(8) says: stop, copy, name the new place. Sparse files may lose their holes."""
    with running(LATER, delivery="retry = { 1h }") as w, tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        assert os.stat(other).st_dev != os.stat(w.dir).st_dev
        with submitting(w, 300) as acknowledged:
            wait_for("all of it", lambda: len(acknowledged()) == 300)
        w.stop()
        subprocess.run(["cp", "-a", "--sparse=never", f"{w.dir}/spool", f"{other}/spool"], check=True)
        shutil.rmtree(w.dir / "spool")
        (w.dir / "spool").symlink_to(f"{other}/spool")
        w.start()
        assert all_of(w) == acknowledged()


def test_F8_no_inode_for_the_next_accounting_file():
    """Accounting waits for it, mail does not; then each record is there, once."""
    with running(LATER, disk=True) as w:
        w.send("s@x.test", ["first@b.test"])
        gives(w, "first@b.test")
        w.disk.becomes("no-inodes")
        refused = w.ctl("rotate", check=False)
        assert refused.returncode == 1 and "acct.csv: No space left on device" in refused.stderr
        w.send("s@x.test", ["second@b.test"])
        wait_for("the alarm", lambda: re.search(r" error accounting_failed .*No space left", w.log_text()))
        wait_for("the arrival", lambda: len(w.arrived()) == 2)
        w.disk.becomes("well")
        wait_for("recovery", lambda: "accounting_recovered" in w.log_text())
        gives(w, "second@b.test")

        def records():
            return [f"{r[0]} {r[4]}" for p in w.dir.glob("acct.csv*") for line in p.read_text().splitlines()
                    if (r := line.split(","))[0] in ("r", "d")]
        wanted = ["d first@b.test", "d second@b.test", "r first@b.test", "r second@b.test"]
        wait_for("four records", lambda: sorted(records()) == wanted)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")
def test_F25_directories_that_are_no_longer_ours():
    """What is open goes on; what cannot begin is said, where and why, and done when it can be."""
    def before(w):
        w.dir.chmod(0o777)
        w.settings += "run-as = nobody\n"
    with running(LATER, before=before, delivery="retry = { 1h }") as w:
        (w.dir / "ca").chmod(0o755)
        w.send("s@x.test", ["waits@a.test", "first@b.test"])
        gives(w, "first@b.test")
        gives(w, "waits@a.test", "t")
        w.dir.chmod(0o755)
        (w.dir / "spool").chmod(0)
        refused = w.ctl("rotate", check=False)
        assert refused.returncode == 1 and re.search("acct.*Permission denied", refused.stderr), refused
        wait_for("the complaint", lambda: re.search(r" error accounting_failed .*acct.*Permission denied", w.log_text()))
        w.send("s@x.test", ["second@b.test"])
        gives(w, "second@b.test")
        w.stop()
        with pytest.raises(AssertionError, match="cannot start: spool .*/spool: .*Permission denied"):
            w.start()
        assert w.daemon.returncode == 1
        (w.dir / "spool").chmod(0o700)
        w.dir.chmod(0o777)
        w.start()
        assert all_of(w) == {"waits@a.test"}
        assert sorted(a["rcpt"] for a in w.arrived()) == ["first@b.test", "second@b.test"]
