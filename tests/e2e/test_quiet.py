# SPDX-License-Identifier: Apache-2.0
"""quiet-hours: mail waits for the morning of its domain and says so; urgent mail and other domains do not."""
import re
from datetime import datetime, timedelta, timezone

from tools import gives, running

SCRIPT = 'site a { domains = { "a.test", "b.test" } }\n'


def test_the_night_of_one_domain():
    awake = datetime.now(timezone.utc) + timedelta(hours=2)
    night = f"{awake + timedelta(hours=1):%H:%M}-{awake:%H:%M} UTC"
    with running(SCRIPT, blocks=f'domain a.test {{ quiet-hours = "{night}" }}\n') as w:
        w.send("s@x.test", ["waits@a.test"])
        w.send("s@x.test", ["goes@b.test"])
        w.send("s@x.test", ["urgent@a.test"], headers="X-Mtad-Class: urgent\r\n")
        assert gives(w, "goes@b.test") and gives(w, "urgent@a.test")
        (row,) = w.ctl("why", "a.test", "--json")["rows"]
        assert (row["why"], row["level"], row["recipients"]) == ("quiet", "site", 1)
        assert abs(row["until_us"] / 1e6 - awake.replace(second=0, microsecond=0).timestamp()) < 1
        assert re.search(r"1: It is quiet at \S+ until .*\(in \S+\), by `quiet-hours` in domain a.test \(.*mtad.conf:\d+\)\. "
                         r"Urgent mail goes all the same\.", w.ctl("why", "a.test")), w.ctl("why", "a.test")
        assert not [r for r in w.rows() if r["rcpt"] == "waits@a.test" and r["type"] == "d"]
