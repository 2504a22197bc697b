# SPDX-License-Identifier: Apache-2.0
"""Accounting files with columns of their own, read as the handlers of PowerMTA's files for MailWizz and Interspire are
documented to read them."""
import re
import time

from world import World, wait_for

SITE = '''site a { domains = { "a.test" } tls = none
    rule { on = rcpt match = "gone*" reply = "550 5.1.1 <gone@a.test>: \\"no, such\\" user" } }
'''


def fgetcsv(line, escape="\\"):
    """A record as PHP's fgetcsv() takes it apart: quotes doubled, and a backslash keeps a quote from ending a field."""
    fields, field, quoted, at = [], "", False, 0
    while at < len(line):
        c = line[at]
        if quoted and c == escape and line[at + 1:at + 2] == '"':
            field += line[at:at + 2]
            at += 1
        elif quoted and c == '"' and line[at + 1:at + 2] == '"':
            field += '"'
            at += 1
        elif c == '"' and (quoted or field == ""):
            quoted = not quoted
        elif c == "," and not quoted:
            fields.append(field)
            field = ""
        else:
            field += c
        at += 1
    assert not quoted, line
    return fields + [field]


def records(path):
    return [fgetcsv(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_handlers_for_powermta(tmp_path):
    # By position, "b" records of some categories: a handler for MailWizz. By name, Unix times: one for Interspire.
    blocks = f'''
accounting mailwizz {{ path = "{tmp_path}/pipe.csv" records = {{ b }}
    fields = {{ type, timeQueued, bounceCat, vmta, orig, rcpt, srcMta, dlvSourceIp, jobId, dsnStatus, dsnMta, dsnDiag }} }}
accounting interspire {{ path = "{tmp_path}/bounces.csv" records = {{ b, rb }} times = unix
    fields = {{ type, timeLogged, rcpt, dsnAction, dsnStatus, dsnDiag, bounceCat, header_X-Mailer-LID, header_X-Mailer-SID }} }}
accounting spring {{ path = "{tmp_path}/spring.jsonl" format = json records = {{ d, b }} jobs = {{ "spring*" }} }}
'''
    with World(settings="accounting-records = { d, b }\n", blocks=blocks) as w:
        w.sim(SITE)
        w.start()
        w.send("news@x.test", ["gone@a.test", "r@a.test"], headers="X-Job: spring-24\r\nX-Mailer-LID: 7\r\nX-Mailer-SID: \"4,\r\n 2\"\r\n",
               rcpt_options=["NOTIFY=NEVER"])  # no bounce mail, which would be recorded too
        w.send("news@x.test", ["other@a.test"])
        wait_for("three records", lambda: len(w.rows()) == 3)
        wait_for("the files", lambda: len(records(tmp_path / "bounces.csv")) == 2)
        head, row = records(tmp_path / "pipe.csv")
        assert head[0] == "type" and len(row) == len(head) == 12
        assert row[0] == "b" and row[4] == "news@x.test" and row[5] == "gone@a.test" and row[8] == "spring-24"
        assert re.fullmatch(r"[a-z-]+", row[2]) and row[9] == "5.1.1"
        assert row[11] == 'smtp;550 5.1.1 <gone@a.test>: "no, such" user'
        head, row = records(tmp_path / "bounces.csv")
        by_name = dict(zip(head, row))
        assert abs(int(by_name["timeLogged"]) - time.time()) < 120 and by_name["dsnAction"] == "failed"
        assert by_name["header_X-Mailer-LID"] == "7" and by_name["header_X-Mailer-SID"] == '"4, 2"'
        lines = (tmp_path / "spring.jsonl").read_text().splitlines()
        assert len(lines) == 2 and all('"headers":{"X-Mailer-LID":"7"' in line for line in lines)
        assert all(re.search(r'"message_id":"[^"<>]+@', line) for line in lines)
        # Kept with the message: after a crash a later attempt has them as well.
        assert len(w.events()) == 3


def test_first_attempt_and_user_string(tmp_path):
    """The time of the first attempt stays over a second one and a kill; `userString` is the block's."""
    site = 'site a { domains = { "a.test" } tls = none rule { on = rcpt count = 1 reply = "451 4.2.1 later" } }\n'
    block = (f'accounting one {{ path = "{tmp_path}/one.csv" times = unix user-string = "node, 7" records = {{ d, t, r }}\n'
             'fields = { type, timeFirstAttempt, timeLogged, timeQueued, userString, attempts } }\n')
    with World(settings="accounting-records = { d, t, r }\n", delivery="retry = { 4s }", blocks=block) as w:
        w.sim(site)
        w.start()
        w.send("s@x.test", ["r@a.test"])
        wait_for("it waits", lambda: len(records(tmp_path / "one.csv")) == 3)
        w.kill()
        w.start()
        wait_for("it is sent", lambda: len(records(tmp_path / "one.csv")) == 4, 30)
        head, received, waits, sent = [dict(zip(records(tmp_path / "one.csv")[0], row)) for row in records(tmp_path / "one.csv")]
        assert [row["type"] for row in (received, waits, sent)] == ["r", "t", "d"]
        assert received["timeFirstAttempt"] == "" and all(row["userString"] == "node, 7" for row in (received, waits, sent))
        assert waits["timeFirstAttempt"] == sent["timeFirstAttempt"] and sent["attempts"] == "2"
        assert abs(int(waits["timeFirstAttempt"]) - int(waits["timeLogged"])) <= 1
        assert int(sent["timeLogged"]) - int(sent["timeFirstAttempt"]) >= 3


def test_header_fields_survive_a_kill(tmp_path):
    site = 'site a { domains = { "a.test" } tls = none rule { on = rcpt count = 1 reply = "451 4.2.1 later" } }\n'
    block = f'accounting one {{ path = "{tmp_path}/one.csv" fields = {{ type, rcpt, header_X-Campaign }} records = {{ d, t }} }}\n'
    with World(settings="accounting-records = { d, t }\n", delivery="retry = { 3s }", blocks=block) as w:
        w.sim(site)
        w.start()
        w.send("s@x.test", ["r@a.test"], headers="X-Campaign: spring\r\n")
        wait_for("it waits", lambda: ["t", "r@a.test", "spring"] in records(tmp_path / "one.csv"))
        w.kill()
        w.start()
        wait_for("it is sent", lambda: ["d", "r@a.test", "spring"] in records(tmp_path / "one.csv"))
        assert len(records(tmp_path / "one.csv")) == 3
