# SPDX-License-Identifier: Apache-2.0
"""What the daemon does when the machine is short of something: time of its disk, descriptors, memory."""
import subprocess
import time

from disk import Disk
from world import World, program, wait_for

ACCEPTING = 'site a { domains = { "*.test" } }'


def load(w, messages, sessions=20):
    subprocess.run([program("mtasim-load"), "--to", f"127.0.0.1:{w.port}", "--domains", "a.test,b.test,c.test",
                    "--sessions", str(sessions), "--messages", str(messages), "--size", "500", "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)


def test_a_hanging_disk_bounds_what_a_crash_would_repeat():
    """Deliveries the spool cannot record must stop soon, or a crash would send all of them again."""
    with World() as w:
        w.sim(ACCEPTING)
        disk = Disk(w)
        w.start(wrapper=disk.wrapper)
        w.ctl("pause", "all")
        load(w, 6000)
        disk.becomes("hanging")
        w.ctl("resume", "all")
        time.sleep(3)
        first = len(w.arrived())
        time.sleep(3)
        assert len(w.arrived()) == first, "deliveries go on although nothing is recorded"
        assert 0 < first < 4000, f"{first} of 6000 delivered and none of them recorded"
        disk.becomes("well")
        wait_for("all deliveries", lambda: len(w.arrived()) == 6000, 60)
        wait_for("books in balance", lambda: w.ctl("audit", check=False).returncode == 0)
