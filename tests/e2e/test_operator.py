# SPDX-License-Identifier: Apache-2.0
"""What operators do: look, hold, retry, remove, pause, reload, stop, kill."""
import signal
import subprocess
import time

from world import World, program, wait_for

LATER = ('site home { domains = { "x.test" } tls = none }\n'
         'site a { domains = { "a.test" } tls = none rule { on = rcpt reply = "451 4.7.1 not now" } }\n'
         'site b { domains = { "b.test" } tls = none }\n')


def queued(w):
    return w.ctl("status", "--json")["summary"]["recipients"]


def test_H4_look_hold_release_retry_remove():
    with World(delivery="retry = { 1h }") as w:
        w.sim(LATER)
        w.start()
        for n in range(10):
            w.send("s@x.test", [f"r{n}@a.test"], headers=f"X-Job: job{n % 2}\r\n")
        wait_for("ten deferrals", lambda: len([r for r in w.rows() if r["type"] == "t"]) == 10)
        (row,) = w.ctl("queue", "--json")["rows"]
        assert row["domain"] == "a.test" and row["waiting"] == 10 and "not now" in row["reply"]
        rows = w.ctl("list", "--job", "job1", "--json")["rows"]
        assert len(rows) == 5 and all(r["state"] == "waiting" and r["attempts"] == 1 for r in rows)
        shown = w.ctl("show", rows[0]["id"], "--json")
        assert shown["summary"]["sender"] == "s@x.test" and "Subject: test" in shown["summary"]["text"]
        assert w.ctl("hold", "--job", "job0", "--yes", "--json")["summary"]["count"] == 5
        assert w.ctl("status", "--json")["summary"]["held"] == 5
        refused = w.ctl("delete", "--domain", "a.test", check=False, data="")
        assert refused.returncode == 2 and "--yes" in refused.stderr
        assert "5 recipients match" in w.ctl("delete", "--held", "--dry-run")
        assert w.ctl("release", "--held", "--yes", "--json")["summary"]["count"] == 5
        assert w.ctl("retry", "--sender", "s@x.test", "--yes", "--json")["summary"]["count"] >= 5
        wait_for("second attempts", lambda: len([r for r in w.rows() if r["type"] == "t"]) >= 15)
        wait_for("all waiting", lambda: w.ctl("status", "--json")["summary"]["waiting"] == 10)
        assert w.ctl("bounce", "--job", "job0", "--yes", "--json")["summary"]["count"] == 5
        assert w.ctl("delete", "--domain", "a.test", "--yes", "--json")["summary"]["count"] == 5
        wait_for("bounce mails", lambda: len([r for r in w.rows() if r["type"] == "d" and r["rcpt"] == "s@x.test"]) == 5)
        wait_for("ten ends", lambda: len([r for r in w.rows() if r["type"] == "b"]) == 10)
        wait_for("balance", lambda: w.ctl("audit", "--json")["summary"]["queued"] == 0)


def test_pause_and_resume_outlive_a_restart():
    with World() as w:
        w.sim(LATER)
        w.start()
        w.ctl("pause", "domain", "b.test", "--for", "1h", "--reason", "they asked")
        w.send("s@x.test", ["r@b.test"])
        time.sleep(1)
        assert w.arrived() == []
        w.stop()
        w.start()
        (pause,) = w.ctl("pauses", "--json")["rows"]
        assert pause["name"] == "b.test" and pause["reason"] == "they asked"
        wait_for("the message is back", lambda: queued(w) == 1)
        assert w.arrived() == []
        w.ctl("resume", "domain", "b.test")
        w.wait_row(type="d", rcpt="r@b.test")


def test_H5_restart_keeps_mail_and_holds():
    with World(delivery="retry = { 1h }") as w:
        w.sim(LATER)
        w.start()
        w.send("s@x.test", ["r1@a.test", "r2@a.test"])
        wait_for("deferrals", lambda: len([r for r in w.rows() if r["type"] == "t"]) == 2)
        (first, _) = w.ctl("list", "--json")["rows"]
        w.ctl("hold", f'{first["id"]}/{first["n"]}')
        time.sleep(0.5)
        w.stop()
        w.start()
        wait_for("two recipients", lambda: queued(w) == 2)
        assert w.ctl("status", "--json")["summary"]["held"] == 1


def test_F1_kill_loses_nothing():
    with World() as w:
        w.sim('site b { domains = { "b.test" } tls = none latency = 20ms }\n')
        w.start()
        for round_ in range(3):
            for n in range(40):
                w.send("s@x.test", [f"r{round_}.{n}@b.test"], ledger_id=f"{round_}.{n}")
            w.kill()
            w.start()
        wait_for("all delivered", lambda: len({r["rcpt"] for r in w.rows() if r["type"] == "d"}) == 120, 40)
        rows = [r["rcpt"] for r in w.rows() if r["type"] in "db"]
        assert len(rows) == len(set(rows)) == 120
        assert {a["id"] for a in w.arrived()} == {f"{r}.{n}" for r in range(3) for n in range(40)}
        assert w.ctl("audit", "--json")["summary"]["balanced"]


def test_F15_second_daemon_on_the_same_spool():
    with World() as w:
        w.sim(LATER)
        w.start()
        text = (w.dir / "mtad.conf").read_text().replace(f"127.0.0.1:{w.port}", "127.0.0.1:0")
        other = w.dir / "other.conf"
        other.write_text(text.replace(f'{w.dir}/control', f'{w.dir}/control2').replace("127.0.0.1:0", f"127.0.0.2:{w.port}"))
        done = subprocess.run([program("mtad"), "-f", "-c", str(other)], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "spool" in done.stderr


def test_G9_reload_good_and_bad():
    with World() as w:
        w.sim(LATER)
        w.start()
        config = w.dir / "mtad.conf"
        good = config.read_text()
        config.write_text(good.replace("retry = { 1s, 2s }", "retry = { 7s, 9s }"))
        assert "retry" in w.ctl("reload")
        config.write_text(good + "\nnonsense = 1\n")
        done = w.ctl("reload", check=False)
        assert done.returncode == 1 and "nonsense" in done.stdout + done.stderr
        w.daemon.send_signal(signal.SIGHUP)
        wait_for("refusal in the log", lambda: "config_refused" in w.log_text())
        w.send("s@x.test", ["r@b.test"])
        w.wait_row(type="d", rcpt="r@b.test")


def test_G1_unknown_words_have_file_line_and_suggestion(tmp_path):
    config = tmp_path / "c.conf"
    config.write_text('hostname = a.test\n\ndomain "*" { retri = { 5m } }\n')
    done = subprocess.run([program("mtad"), "-t", "-c", str(config)], capture_output=True, text=True)
    assert done.returncode == 1 and "c.conf:3:" in done.stderr and '"retry"' in done.stderr


def test_rotation_keeps_every_record():
    with World() as w:
        w.sim(LATER)
        w.start()
        for n in range(30):
            w.send("s@x.test", [f"r{n}@b.test"])
            if n % 10 == 9:
                w.ctl("rotate")
                time.sleep(0.3)
        names = wait_for("rotated files", lambda: len(list(w.dir.glob("acct.csv.*"))) >= 2 and list(w.dir.glob("acct.csv*")))
        def records():
            return sum(line.startswith("d,") for p in w.dir.glob("acct.csv*") for line in p.read_text().splitlines())
        wait_for("30 records", lambda: records() == 30)
        assert names


def test_H5_graceful_stop_finishes_what_it_does():
    with World() as w:
        w.sim('site b { domains = { "b.test" } tls = none latency = 300ms }\n')
        w.start()
        for n in range(5):
            w.send("s@x.test", [f"r{n}@b.test"])
        w.stop()
        arrived = len(w.arrived())
        w.start()
        wait_for("the rest", lambda: len({r["rcpt"] for r in w.rows() if r["type"] == "d"}) == 5)
        assert len(w.arrived()) == 5 and arrived <= 5


def test_F6_full_spool_answers_452_and_recovers():
    with World(settings="spool-max = 20MB", delivery="retry = { 1h }") as w:
        w.sim(LATER)
        w.start()
        codes = []
        for n in range(40):
            try:
                w.send("s@x.test", [f"r{n}@a.test"], body=("y" * 76 + "\r\n") * 13000)
                codes.append(250)
            except Exception as error:  # smtplib has several
                codes.append(getattr(error, "smtp_code", 0) or list(getattr(error, "recipients", {"": (0,)}).values())[0][0])
        assert 250 in codes and 452 in codes and set(codes) <= {250, 452}
        assert w.ctl("status", "--json")["summary"]["spool"]["full"]
        w.ctl("delete", "--all", "--yes")
        def accepts():
            try:
                w.send("s@x.test", ["again@b.test"])
                return True
            except Exception:
                return False
        wait_for("room again", accepts)
        assert w.ctl("audit", "--json")["summary"]["balanced"]


def reconfigure(w, old, new):
    """The line of its configuration, and a reload."""
    config = w.dir / "mtad.conf"
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))
    w.ctl("reload")


def test_G11_reload_lowers_a_limit_that_is_in_use():
    """Nobody is cut off; the next wait until there are as few as the new limit says."""
    with World(delivery="connections = 4\nrecipients-per-transaction = 1\nretry = { 1h }") as w:
        w.sim('site a { domains = { "a.test" } rule { on = dot delay = 300ms do = accept } }')
        w.start()
        w.send("s@x.test", ["first@a.test"])
        w.wait_row(type="d", rcpt="first@a.test")
        w.simulator.send_signal(signal.SIGSTOP)  # four in the middle of it for as long as the reload takes
        with w.client() as c:
            for n in range(14):
                c.sendmail("s@x.test", [f"r{n}@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("four at once", lambda: w.ctl("status", "--json")["summary"]["sessions"]["delivering"] == 4)
        reconfigure(w, "connections = 4", "connections = 1")
        w.simulator.send_signal(signal.SIGCONT)
        wait_for("all of them", lambda: len(w.arrived()) == 15)
        assert not [r for r in w.rows() if r["type"] == "t"], "cut off"
        wait_for("four, as the site counts", lambda: max(c["peak_open"] for c in w.stats()["sites"]["a"]["clients"].values()) == 4)
        times = sorted(int(a["time"]) / 1e6 for a in w.arrived())
        # Each of the four may have had its next message as well.
        assert all(b - a > 0.25 for a, b in zip(times[9:], times[10:])), f"one after the other: {times}"


def test_H15_kill_during_reload():
    """What stands in the file when it starts is what it does, wholly."""
    with World() as w:
        w.sim(LATER)
        w.start()
        config = w.dir / "mtad.conf"
        texts = [config.read_text().replace("mta.sender.test", f"mta{n}.sender.test") for n in range(2)]
        assert texts[0] != texts[1]
        for n in range(12):
            config.write_text(texts[n % 2])
            for _ in range(5):
                w.daemon.send_signal(signal.SIGHUP)
            time.sleep(n * 0.001)
            w.kill()
            w.daemon = subprocess.Popen([program("mtad"), "-f", "-c", str(config)], stdout=w.log, stderr=w.log)
            wait_for("its greeting", w.greets)
            with w.client() as c:
                assert c.ehlo()[1].startswith(f"mta{n % 2}.sender.test".encode())


def test_H16_queued_mail_takes_the_new_route():
    with World(delivery="retry = { 1h }", blocks='route old { domains = { "a.test" } hosts = { "127.0.0.1:1" } }\n') as w:
        w.sim(LATER)
        w.start()
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="t", rcpt="r@a.test")
        reconfigure(w, '"127.0.0.1:1"', f'"127.3.3.1:{w.site_port}"')  # b's
        w.ctl("retry", "--all", "--yes")
        assert w.wait_row(type="d", rcpt="r@a.test")["dlvDestinationIp"] == "127.3.3.1"
