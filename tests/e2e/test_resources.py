# SPDX-License-Identifier: Apache-2.0
"""What the daemon does when the machine is short of something: time of its disk, descriptors, memory."""
import subprocess
import time

from tools import Talk, running
from world import World, program, wait_for

ACCEPTING = 'site a { domains = { "*.test" } }'


def load(w, messages, sessions=20):
    subprocess.run([program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test,b.test,c.test",
                    "--sessions", str(sessions), "--messages", str(messages), "--size", "500", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)


def test_a_hanging_disk_bounds_what_a_crash_would_repeat():
    """Deliveries the spool cannot record must stop soon, or a crash would send all of them again."""
    with running(ACCEPTING, disk=True) as w:
        w.ctl("pause", "all")
        load(w, 6000)
        w.disk.becomes("hanging")
        w.ctl("resume", "all")
        time.sleep(3)
        first = len(w.arrived())
        time.sleep(3)
        assert len(w.arrived()) == first, "deliveries go on although nothing is recorded"
        assert 0 < first < 4000, f"{first} of 6000 delivered and none of them recorded"
        w.disk.becomes("well")
        wait_for("all deliveries", lambda: len(w.arrived()) == 6000, 60)
        wait_for("books in balance", lambda: w.ctl("audit", check=False).returncode == 0)


def test_I1_clients_leave_descriptors_to_deliveries():
    with World(settings="connections-total = 40\n", listen="    connections-per-client = 1000") as w:
        w.sim(ACCEPTING)
        w.start(wrapper=["prlimit", "--nofile=356:356"])  # 256 of its own, 40 for deliveries, 60 for clients
        with Talk(w.port) as early:
            early.hello()
            clients, refused = [], 0
            for _ in range(200):
                t = Talk(w.port, greeting=False)
                if t.reply().startswith("421 4.3.2"):
                    refused += 1
                    t.close()
                else:
                    clients.append(t)
            assert refused > 100 and 50 <= len(clients) <= 60
            for n in range(30):
                early.envelope(rcpts=[f"r{n}@{'abc'[n % 3]}.test"])
                early.data("From: <s@x.test>\r\n\r\nhello\r\n.\r\n".encode())
            wait_for("deliveries", lambda: len(w.arrived()) == 30)
            assert w.ctl("audit", "--json")["summary"]["balanced"]
            for t in clients:
                t.close()

            def admitted():
                with Talk(w.port, greeting=False) as again:
                    return again.reply().startswith("220")
            wait_for("room", admitted)
        assert " accept_failed " not in w.log_text()


def test_I1_a_low_limit_is_told_and_shared():
    with World() as w:
        w.sim(ACCEPTING)
        w.start(wrapper=["prlimit", "--nofile=456:456"])
        w.send("s@x.test", ["r@a.test"])
        wait_for("the delivery", lambda: len(w.arrived()) == 1)
        assert " warn descriptors_few deliveries=150 clients=50 connections-total=2000" in w.log_text()
