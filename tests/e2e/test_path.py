# SPDX-License-Identifier: Apache-2.0
"""The way of a message through the real daemon: accepted, signed, delivered, retried, bounced, recorded."""
import email
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import time

import dkim
import pytest

from tools import certificate
from world import World, free_port, program

PLAIN = 'site a { domains = { "a.test", "b.test" } tls = none }\n'


def body_of(mail):
    return mail.split(b"\r\n\r\n", 1)[1]


def test_delivered_with_record_and_trace():
    with World() as w:
        w.sim(PLAIN)
        w.start()
        w.send("s@x.test", ["r@a.test"], body="first\r\n.dot\r\n..two\r\n.\r\nlast\r\n", headers="X-Job: j1\r\n")
        row = w.wait_row(type="d", rcpt="r@a.test")
        assert row["orig"] == "s@x.test" and row["jobId"] == "j1" and row["dsnStatus"] == "2.0.0"
        assert row["dlvDestinationIp"].startswith("127.3.") and row["vmta"] == "default"
        assert row["dsnDiag"].startswith("smtp;250 ")
        (mail,) = w.mails()
        assert body_of(mail) == b"first\r\n.dot\r\n..two\r\n.\r\nlast\r\n"
        head = email.message_from_bytes(mail)
        assert head["Received"].startswith("by mta.sender.test with ESMTP id ")
        assert "127.0.0.1" not in head["Received"] and "client.test" not in head["Received"]
        assert head["Date"] and head["Message-ID"].endswith("@mta.sender.test>")
        assert head["X-Job"] is None
        (event,) = [e for e in w.events() if e["event"] == "delivered"]
        assert event["rcpt"] == "r@a.test" and event["job"] == "j1"


def test_recipients_of_a_site_share_a_transaction_and_each_has_its_result():
    with World() as w:
        w.sim('site a { domains = { "a.test", "b.test" } tls = none\n'
              'rule { on = rcpt match = "no*" reply = "550 5.1.1 no such user" }\n'
              'rule { on = rcpt match = "later*" count = 1 reply = "451 4.7.1 later" } }\n')
        w.start()
        w.send("s@x.test", ["yes1@a.test", "yes2@b.test", "no@a.test", "later@b.test"])
        w.wait_row(type="d", rcpt="later@b.test")
        rows = w.rows()
        assert {r["rcpt"] for r in rows if r["type"] == "d"} - {"s@x.test"} == {"yes1@a.test", "yes2@b.test", "later@b.test"}
        (bounce,) = [r for r in rows if r["type"] == "b" and r["rcpt"] == "no@a.test"]
        assert bounce["dsnStatus"] == "5.1.1" and "no such user" in bounce["dsnDiag"]
        assert [r["rcpt"] for r in rows if r["type"] == "t"] == ["later@b.test"]
        first = [a for a in w.arrived() if a["rcpt"] in ("yes1@a.test", "yes2@b.test")]
        assert len({(a["connection"], a["message"]) for a in first}) == 1


def test_bounce_mail_tells_the_sender():
    with World() as w:
        w.sim('site home { domains = { "x.test" } tls = none }\n'
              'site a { domains = { "a.test" } tls = none rule { on = rcpt reply = "550-5.1.1 gone\\n550 5.1.1 for good" } }\n')
        w.start()
        w.send("s@x.test", ["r@a.test"], mail_options=["RET=HDRS", "ENVID=e77"],
               rcpt_options=["NOTIFY=FAILURE", "ORCPT=rfc822;old@a.test"])
        w.wait_row(type="d", rcpt="s@x.test")
        (mail,) = w.mails()
        report = email.message_from_bytes(mail)
        assert report.get_content_type() == "multipart/report"
        text, status, header = report.get_payload()
        assert "for good" in text.get_payload()
        fields = status.as_string()
        assert "Final-Recipient: rfc822" in fields and "r@a.test" in fields and "Action: failed" in fields
        assert "Original-Envelope-Id: e77" in fields and "old@a.test" in fields and "Status: 5.1.1" in fields
        assert header.get_content_type() == "text/rfc822-headers"
        assert [a["from"] for a in w.arrived()] == ["-"]  # how the simulator writes the null sender


@pytest.mark.parametrize("sender,options", [("", []), ("s@x.test", ["NOTIFY=NEVER"])], ids=["null sender", "NOTIFY=NEVER"])
def test_no_bounce_mail(sender, options):
    with World() as w:
        w.sim('site home { domains = { "x.test" } tls = none }\n'
              'site a { domains = { "a.test" } tls = none rule { on = rcpt reply = "550 5.1.1 gone" } }\n')
        w.start()
        w.send(sender, ["r@a.test"], rcpt_options=options)
        w.wait_row(type="b", rcpt="r@a.test")
        time.sleep(1)
        assert w.arrived() == []
        audit = w.ctl("audit", "--json")["summary"]
        assert audit["accepted"] == 1 and audit["balanced"]


def test_expired_mail_is_given_up_and_told():
    with World(delivery="expire = 4s") as w:
        w.sim('site home { domains = { "x.test" } tls = none }\n'
              'site a { domains = { "a.test" } tls = none rule { on = rcpt reply = "451 4.2.1 never today" } }\n')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        row = w.wait_row(type="b", rcpt="r@a.test", bounceCat="message-expired")
        assert "never today" in row["dsnDiag"]
        w.wait_row(type="d", rcpt="s@x.test")


def test_delay_notice():
    with World(delivery="delay-notice = 1s\nexpire = 1h\nretry = { 1s, 1s, 1s, 1h }") as w:
        w.sim('site home { domains = { "x.test" } tls = none }\n'
              'site a { domains = { "a.test" } tls = none rule { on = rcpt reply = "451 4.2.1 later" } }\n')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="d", rcpt="s@x.test")
        time.sleep(3)
        reports = [m for m in w.mails() if b"Action: delayed" in m]
        assert len(reports) == 1


@pytest.mark.parametrize("case,phase,code,kind", [
    ("D8 421 banner", "connect", "421 4.3.2 busy", "t"), ("D17 MAIL 4xx", "mail", "451 4.3.0 x", "t"),
    ("D17 MAIL 5xx", "mail", "550 5.7.1 x", "b"), ("D28 dot 4xx", "dot", "451 4.3.0 x", "t"),
    ("D28 dot 5xx", "dot", "554 5.7.1 x", "b"), ("D29 421 at rcpt", "rcpt", "421 4.7.0 x", "t")])
def test_replies_by_phase(case, phase, code, kind):
    with World() as w:
        w.sim(f'site a {{ domains = {{ "a.test" }} tls = none rule {{ on = {phase} count = 1 reply = "{code}" }} }}\n')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        row = w.wait_row(type=kind, rcpt="r@a.test")
        assert code[:3] in row["dsnDiag"]
        if kind == "t":
            w.wait_row(type="d", rcpt="r@a.test", seconds=60 if phase == "connect" else 20)


@pytest.mark.parametrize("phase", ["mail", "rcpt", "data"])
def test_D24_connection_dropped(phase):
    with World() as w:
        w.sim(f'site a {{ domains = {{ "a.test" }} tls = none rule {{ on = {phase} count = 1 do = drop }} }}\n')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="t", rcpt="r@a.test")
        w.wait_row(type="d", rcpt="r@a.test")
        assert len(w.arrived()) == 1


def test_D26_uncertain_end_is_retried_late_and_marked():
    with World(delivery="uncertain-retry = 3s") as w:
        w.sim('site a { domains = { "a.test" } tls = none rule { on = dot count = 1 do = drop } }\n')
        w.start()
        begun = time.monotonic()
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="t", rcpt="r@a.test")
        assert any(e.get("uncertain") for e in w.events())
        w.wait_row(type="d", rcpt="r@a.test")
        assert time.monotonic() - begun > 2.5


def test_D33_greylisting():
    with World() as w:
        w.sim('site a { domains = { "a.test" } tls = none greylist = 2s }\n')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="d", rcpt="r@a.test")


# --- DNS ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("case,dns,esc", [
    ("C1 NXDOMAIN", "fault = nxdomain", "5.1.2"), ("C16 null MX", "records = null-mx", "5.1.10")])
def test_dns_final(case, dns, esc):
    with World() as w:
        w.sim(f'site a {{ domains = {{ "a.test" }} dns {{ {dns} }} }}\n')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        assert w.wait_row(type="b", rcpt="r@a.test")["dsnStatus"] == esc


@pytest.mark.parametrize("case,dns", [("C3 SERVFAIL heals", "fault = servfail heal = 3s"),
                                      ("C4 REFUSED heals", "fault = refused heal = 3s"),
                                      ("C7 truncated", "fault = truncate"), ("C2 implicit MX", "records = implicit"),
                                      ("C12 CNAME", "records = cname")])
def test_dns_goes_on(case, dns):
    with World(settings="dns-retry = 1s\ndns-timeout = 500ms") as w:
        w.sim(f'site a {{ domains = {{ "a.test" }} tls = none dns {{ {dns} }} }}\n')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        w.wait_row(type="d", rcpt="r@a.test", seconds=30)
        assert not [r for r in w.rows() if r["type"] == "b"]


def test_D1_dead_first_mx_then_the_second():
    with World() as w:
        w.sim('site a { domains = { "a.test" } tls = none addresses = 2 host { number = 1 fault = refuse } }\n')
        w.start()
        for n in range(6):
            w.send("s@x.test", [f"r{n}@a.test"])
        for n in range(6):
            w.wait_row(type="d", rcpt=f"r{n}@a.test")


def test_D2_a_host_that_does_not_answer_is_left_soon():
    with World(delivery="family = any") as w:
        w.sim('site a { domains = { "a.test" } tls = none addresses = 2 host { number = 1 fault = hang } }\n')
        w.start()
        for n in range(4):
            w.send("s@x.test", [f"r{n}@a.test"])
        for n in range(4):
            w.wait_row(type="d", rcpt=f"r{n}@a.test", seconds=15)


# --- TLS ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("site_tls,policy,arrives,tls", [
    ("good", "may", True, "TLSv1"), ("good", "verify", True, "TLSv1"), ("good", "none", True, "-"),
    ("none", "may", True, "-"), ("none", "encrypt", False, ""), ("broken", "may", True, "-"),
    ("broken", "encrypt", False, ""), ("expired", "may", True, "TLSv1"), ("expired", "verify", False, ""),
    ("wrong-name", "verify", False, ""), ("self-signed", "verify", False, ""), ("self-signed", "encrypt", True, "TLSv1")])
def test_E_outbound_tls(site_tls, policy, arrives, tls):
    with World(delivery=f"tls = {policy}") as w:
        w.sim(f'site a {{ domains = {{ "a.test" }} tls = {site_tls} }}\n')
        w.start()
        w.send("s@x.test", ["r@a.test"])
        if arrives:
            w.wait_row(type="d", rcpt="r@a.test")
            assert w.arrived()[0]["tls"].startswith(tls)
        else:
            w.wait_row(type="t", rcpt="r@a.test")
            assert w.arrived() == []


# --- DKIM --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("algorithm", ["rsa2048", "ed25519"])
def test_signature_verifies_with_dkimpy(algorithm):
    with World() as w:
        key = w.dir / "key.pem"
        made = subprocess.run([program("mtactl"), "dkim", "keygen", "x.test", "--selector", "s1", "--algorithm", algorithm,
                               "--out", str(key)], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        assert key.stat().st_mode & 0o777 == 0o600
        record = "".join(re.findall(r'"([^"]*)"', [l for l in made.stdout.splitlines() if "v=DKIM1" in l][0]))
        w.blocks = f'dkim x.test {{ selector = s1 key = "{key}" }}\n'
        w.sim(PLAIN)
        w.start()
        w.send("s@x.test", ["r@a.test"], body="Hello   world \r\n\r\n.dot\r\n\r\n\r\n",
               headers="List-Unsubscribe: <https://x.test/u>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
        w.wait_row(type="d", rcpt="r@a.test")
        (mail,) = w.mails()
        assert mail.startswith(b"DKIM-Signature:")
        assert dkim.verify(mail, dnsfunc=lambda name, timeout=5: record.encode())
        signed = re.search(rb"h=([^;]*);", mail.split(b"\r\n\r\n")[0].replace(b"\r\n\t", b"").replace(b"\r\n ", b""))
        assert b"list-unsubscribe-post" in signed.group(1).lower()


# --- real receivers and clients ----------------------------------------------------------------------------------

def test_route_to_postfix_smtp_sink():
    sink = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    port = free_port()
    with World(blocks=f'route all {{ domains = {{ "*" }} hosts = {{ "127.0.0.1:{port}" }} }}\n') as w:
        w.sim(PLAIN)
        receiver = subprocess.Popen([sink, "-u", "nobody", "-c", f"127.0.0.1:{port}", "10"], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
        try:
            w.start()
            for n in range(20):
                w.send("s@x.test", [f"r{n}@anywhere{n % 3}.test"], body="x" * 70 + "\r\n")
            for n in range(20):
                w.wait_row(type="d", rcpt=f"r{n}@anywhere{n % 3}.test")
        finally:
            receiver.kill()
            receiver.wait()


def test_swaks_and_msmtp_submit():
    with World() as w:
        w.sim(PLAIN)
        w.start()
        done = subprocess.run(["swaks", "--server", f"127.0.0.1:{w.port}", "--from", "s@x.test", "--to", "r1@a.test",
                               "--pipeline"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        done = subprocess.run(["msmtp", "--host=127.0.0.1", f"--port={w.port}", "--from=s@x.test", "--tls=off", "r2@a.test"],
                              input="From: s@x.test\nTo: r2@a.test\nSubject: t\n\nbody\n", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        w.wait_row(type="d", rcpt="r1@a.test")
        w.wait_row(type="d", rcpt="r2@a.test")


def raw(w, *lines, read=True):
    """Says lines one by one on a plain connection; all replies."""
    replies = []
    with socket.create_connection(("127.0.0.1", w.port), timeout=10) as s:
        f = s.makefile("rwb")

        def reply():
            text = []
            while True:
                line = f.readline().decode()
                text.append(line)
                if len(line) < 4 or line[3] != "-":
                    return "".join(text)
        replies.append(reply())
        for line in lines:
            f.write(line)
            f.flush()
            replies.append(reply())
    return replies


def test_A1_bare_lf_is_refused_and_ends_nothing():
    with World() as w:
        w.sim(PLAIN)
        w.start()
        replies = raw(w, b"EHLO c\r\n", b"MAIL FROM:<s@x.test>\r\n", b"RCPT TO:<r@a.test>\r\n", b"DATA\r\n",
                      b"From: <s@x.test>\r\n\r\none\n.\nMAIL FROM:<evil@x.test>\r\n.\r\n", b"QUIT\r\n")
        assert replies[5].startswith("550 5.5.2") or replies[5].startswith("550 5.6")
        assert replies[6].startswith("221")


def test_A22_no_open_relay():
    with World(listen='networks = { "192.0.2.0/24" }') as w:
        w.sim(PLAIN)
        w.start()
        for rcpt in ("r@a.test", "r%a.test@x.test", "@x.test:r@a.test", '"r@a.test"@x.test'):
            replies = raw(w, b"EHLO c\r\n", b"MAIL FROM:<s@x.test>\r\n", f"RCPT TO:<{rcpt}>\r\n".encode(), b"QUIT\r\n")
            assert replies[2].startswith("530 5.7.0") and replies[3][0] == "5"


# --- log-in and TLS inbound ---------------------------------------------------------------------------------------

def test_starttls_login_and_sender_ownership():
    with World() as w:
        cert, key = certificate(w.dir)
        secret = w.dir / "shop.hash"
        hashed = subprocess.run([program("mtactl"), "passwd"], input="s3cret\n", capture_output=True, text=True, check=True)
        assert hashed.stdout.startswith("$y$")
        secret.write_text(hashed.stdout)
        secret.chmod(0o600)
        w.listen = f'networks = {{ "192.0.2.0/24" }}\ncertificate = "{cert}"\nkey = "{key}"\ntls = required\n'
        w.blocks = f'user shop {{ password-file = "{secret}" senders = {{ "@x.test" }} }}\n'
        w.sim(PLAIN)
        w.start()
        with w.client() as c:
            c.ehlo()
            assert "auth" not in c.esmtp_features
            assert c.docmd("MAIL", "FROM:<s@x.test>")[0] == 530
            c.starttls(context=ssl._create_unverified_context())
            c.ehlo()
            assert "auth" in c.esmtp_features
            with pytest.raises(smtplib.SMTPAuthenticationError):
                c.login("shop", "wrong", initial_response_ok=True)
        with w.client() as c:
            c.starttls(context=ssl._create_unverified_context())
            c.login("shop", "s3cret")
            assert c.mail("s@other.test")[0] == 553
            c.sendmail("s@x.test", ["r@a.test"], b"From: <s@x.test>\r\nTo: <r@a.test>\r\n\r\nhi\r\n")
        w.wait_row(type="d", rcpt="r@a.test")
        assert "login_failed" in w.log_text() and "s3cret" not in w.log_text()


def test_A14_bytes_behind_starttls_close_the_session():
    with World() as w:
        cert, key = certificate(w.dir)
        w.listen = f'certificate = "{cert}"\nkey = "{key}"\n'
        w.sim(PLAIN)
        w.start()
        with socket.create_connection(("127.0.0.1", w.port), timeout=10) as s:
            s.recv(500)
            s.sendall(b"EHLO c\r\n")
            s.recv(1000)
            s.sendall(b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\n")
            data = b""
            while True:
                try:
                    piece = s.recv(1000)
                except OSError:
                    break
                if not piece:
                    break
                data += piece
            assert b"250" not in data


def test_untrusted_control_headers_are_removed_and_ignored():
    with World(listen="trusted = no") as w:
        w.sim(PLAIN)
        w.start()
        w.send("s@x.test", ["r@a.test"], headers="X-Job: j1\r\nX-Virtual-MTA: nowhere\r\nBcc: hidden@a.test\r\n")
        row = w.wait_row(type="d", rcpt="r@a.test")
        assert row["jobId"] == "" and row["vmtaPool"] == ""
        (mail,) = w.mails()
        assert b"X-Job" not in mail and b"X-Virtual-MTA" not in mail and b"hidden" not in mail


def test_pool_by_header_and_unknown_pool():
    with World(blocks='source one { address = { 127.0.0.1 } ehlo = one.sender.test }\n'
                      'source two { address = { 127.0.0.2 } ehlo = two.sender.test }\npool news { sources = { two } }\n') as w:
        w.sim(PLAIN)
        w.start()
        w.send("s@x.test", ["r@a.test"], headers="X-Virtual-MTA: news\r\n")
        row = w.wait_row(type="d", rcpt="r@a.test")
        assert row["vmta"] == "two" and row["vmtaPool"] == "news" and row["dlvSourceIp"] == "127.0.0.2"
        with pytest.raises(smtplib.SMTPDataError) as refused:
            w.send("s@x.test", ["r2@a.test"], headers="X-Virtual-MTA: nosuch\r\n")
        assert refused.value.smtp_code == 550 and b"nosuch" in refused.value.smtp_error


def test_B14_loop_is_refused():
    with World() as w:
        w.sim(PLAIN)
        w.start()
        with pytest.raises(smtplib.SMTPDataError) as refused:
            w.send("s@x.test", ["r@a.test"], headers="Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 60)
        assert refused.value.smtp_code == 554 and b"5.4.6" in refused.value.smtp_error
