# SPDX-License-Identifier: Apache-2.0
"""Faults B: messages. What is refused, what is added and taken out, what is signed, and that the rest stays as it was."""
import ctypes
import email
import os
import re
import subprocess
import time

import pytest
from tools import A_TEST, MAIL, Talk, cpu_seconds, dkim_key, dkim_ok, gives, program, running, sanitizer, wait_for

KEYS = {}


@pytest.fixture(scope="module")
def w():
    """Signs sender.test with RSA and Ed25519 and *.wild.test with RSA; two pools; a site without 8BITMIME."""
    def before(world):
        blocks = ""
        for domain, selector, algorithm in (("sender.test", "rsa", "rsa2048"), ("sender.test", "ed", "ed25519"),
                                            ("*.wild.test", "any", "rsa2048")):
            block, name, record = dkim_key(world.dir, domain, selector, algorithm)
            blocks += block
            KEYS[name.replace("*", "sub")] = record
        world.listen = "message-max = 1MB"
        world.blocks = blocks + 'source one { }\nsource two { ehlo = two.sender.test }\npool marketing { sources = { two } }\n'
    script = A_TEST + '''
        site ascii { domains = { "ascii.test" } eightbit = no smtputf8 = no }
        site many { domain-pattern = "d%03d.test" domains-count = 500 }
        site sender { domains = { "sender.test" } eightbit = no }
        site small { domains = { "small.test" } size-max = 10KB }
    '''
    with running(script, before=before) as world:
        yield world


def submit(t, message, rcpt, pattern="250", options=""):
    t.envelope("s@sender.test", [rcpt], options)
    return t.data(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n", pattern)


def arrived(w, t, message, rcpt, options=""):
    """The message as the site got it."""
    marker = f"X-Case: {rcpt};\r\n".encode()
    submit(t, marker + message, rcpt, options=options)
    gives(w, rcpt)
    (mail,) = [m for m in w.mails() if marker in m]
    return mail


def fields(mail):
    return re.findall(rb"(?m)^([!-9;-~]+):", mail.split(b"\r\n\r\n")[0])


def opendkim_ok(mail, records):
    """libopendkim's judgement: every signature is right."""
    lib = ctypes.CDLL("libopendkim.so.11")
    for name in ("dkim_init", "dkim_verify", "dkim_sig_getselector", "dkim_sig_getdomain"):
        getattr(lib, name).restype = ctypes.c_void_p
    lookup_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

    def text(pointer):
        return ctypes.string_at(pointer).decode()

    @lookup_type
    def lookup(_, signature, buf, size):
        signature = ctypes.c_void_p(signature)
        name = f"{text(lib.dkim_sig_getselector(signature))}._domainkey.{text(lib.dkim_sig_getdomain(signature))}"
        record = records.get(name, "").encode() + b"\0"
        assert len(record) <= size
        ctypes.memmove(buf, record, len(record))
        return 0

    library, status = ctypes.c_void_p(lib.dkim_init(None, None)), ctypes.c_int()
    lib.dkim_set_key_lookup(library, lookup)
    handle = ctypes.c_void_p(lib.dkim_verify(library, b"e2e", None, ctypes.byref(status)))
    signatures, count = ctypes.POINTER(ctypes.c_void_p)(), ctypes.c_int()
    try:
        stages = (lib.dkim_chunk(handle, mail, ctypes.c_size_t(len(mail))), lib.dkim_chunk(handle, None, ctypes.c_size_t(0)),
                  lib.dkim_eom(handle, None))
        if stages != (0, 0, 0) or lib.dkim_getsiglist(handle, ctypes.byref(signatures), ctypes.byref(count)) != 0:
            return False
        found = [ctypes.c_void_p(signatures[n]) for n in range(count.value)]
        # Flag 2: the signature is right; body hash 0: it matches.
        return bool(found) and all(lib.dkim_sig_process(handle, s) == 0 and lib.dkim_sig_getflags(s) & 2 and
                                   lib.dkim_sig_getbh(s) == 0 for s in found)
    finally:
        lib.dkim_free(handle)
        lib.dkim_close(library)


REFUSED = {
    "B1_no_header": b"hello\r\n",
    "B1_no_from": b"Subject: x\r\n\r\nhello\r\n",
    "B1_line_without_colon": b"From: <s@x.test>\r\nhello world\r\nSubject: x\r\n\r\nhello\r\n",
    "B1_first_line_begins_with_blank": b" folded\r\nFrom: <s@x.test>\r\n\r\n",
    "B1_space_in_field_name": b"From: <s@x.test>\r\nSub ject: x\r\n\r\n",
    "B2_body_line_of_10_kB": b"From: <s@x.test>\r\n\r\n" + b"x" * 10000 + b"\r\n",
    "B3_header_line_too_long": b"From: <s@x.test>\r\nSubject: " + b"x" * 10000 + b"\r\n\r\n",
    "B3_2000_fields": b"From: <s@x.test>\r\n" + b"X-N: 1\r\n" * 2000 + b"\r\n",
    "B3_header_block_of_600_kB": b"From: <s@x.test>\r\n" + (b"X-N: " + b"x" * 900 + b"\r\n") * 650 + b"\r\n",
    "B4_empty_from": b"From: \r\n\r\nhello\r\n",
    "B1_blank_before_colon": b"From: <s@x.test>\r\nX-Job : a\r\n\r\nhello\r\n",
    "B14_hops_in_odd_case": b"rEcEiVeD: by a\r\n" * 60 + b"From: <s@x.test>\r\n\r\n",
    "B4_two_from": b"From: <s@x.test>\r\nFrom: <t@x.test>\r\n\r\n",
    "B12_empty": b"",
    "B12_blank_lines_only": b"\r\n\r\n",
    "B14_too_many_hops": b"Received: by a\r\n" * 60 + b"From: <s@x.test>\r\n\r\n",
    "B15_own_trace_too_often": b"Received: from a (by x)\r\n\tBY MTA.sender.test (x) with ESMTP; date\r\n" * 11 + b"From: <s@x.test>\r\n\r\n",
    "B24_bare_cr_in_a_field": b"From: <s@x.test>\r\nSubject: a\rBcc: <b@x.test>\r\n\r\nhello\r\n",
    "B24_bare_lf_in_a_field": b"From: <s@x.test>\r\nSubject: a\nBcc: <b@x.test>\r\n\r\nhello\r\n",
    "B24_header_that_ends_with_bare_lf": b"From: <s@x.test>\r\nSubject: a\n\nBcc: <b@x.test>\r\n\r\nhello\r\n",
    "B24_header_that_ends_with_bare_cr": b"From: <s@x.test>\r\nSubject: a\r\rBcc: <b@x.test>\r\n\r\nhello\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(w, t, name):
    wanted = {"B14": "554 5.4.6 Too many hops", "B15": "554 5.4.6 This host", "B24": "550 5.5.2",
              "B3_": "552 5.3.4|550 5.6.0"}.get(name[:3], "550 5.6.0")
    submit(t, REFUSED[name], f"{name}@a.test", wanted)
    t.say("NOOP", "250")
    assert not [a for a in w.arrived() if a["rcpt"] == f"{name}@a.test"]


def test_B14_hops_below_the_limit_pass(w, t):
    mail = arrived(w, t, b"Received: by a\r\n" * 40 + b"From: <s@x.test>\r\n\r\nhello\r\n", "hops@a.test")
    assert fields(mail).count(b"Received") == 41


def test_B15_traces_of_others_and_a_few_of_our_own_pass(w, t):
    traces = (b"Received: by mta.sender.test with ESMTP id x; date\r\n" * 10 +
              b"Received: from mta.sender.test (x by mta.sender.test y) by other.test; date\r\n" * 10 +
              b"Received: by mta.sender.test.other.test\r\nReceived: by\r\nReceived:\r\nReceived: (by mta.sender.test\r\n")
    mail = arrived(w, t, traces + b"From: <s@x.test>\r\n\r\nhello\r\n", "b15@a.test")
    assert mail.endswith(traces + b"From: <s@x.test>\r\n\r\nhello\r\n")


def test_B15_mail_that_comes_back_for_ever():
    """The daemon's route leads to its own listener: after ten rounds it knows."""
    def before(w):
        w.blocks = f'route circle {{ domains = {{ "*" }} hosts = {{ "127.0.0.1:{w.port}" }} }}'
    with running(before=before) as w:
        w.send("", ["r@a.test"])
        row = gives(w, "r@a.test", "b")
        assert row["dsnDiag"].startswith("smtp;554 5.4.6 This host has had the message 11 times"), row
        assert sum(r["type"] == "r" for r in w.rows()) == 11
        assert w.ctl("status", "--json")["summary"]["recipients"] == 0


def test_B3_many_folds_and_fields_pass(w, t):
    message = b"From: <s@x.test>\r\n" + b"X-N: 1\r\n" * 500 + b"Subject: a" + b"\r\n b" * 5000 + b"\r\n\r\nhello\r\n"
    before = cpu_seconds(w)
    assert arrived(w, t, message, "folds@a.test").endswith(message)
    assert cpu_seconds(w) - before < 3


def test_B4_only_what_is_missing_is_added(w, t):
    mail = arrived(w, t, b"From: <s@x.test>\r\n\r\nhello\r\n", "b4a@a.test")
    empty = arrived(w, t, b"From: <s@x.test>\r\nDate: \r\nMessage-Id:\r\n\r\nhello\r\n", "b4e@a.test")
    assert fields(empty) == [b"Received", b"Date", b"Message-ID", b"X-Case", b"From"]
    assert fields(mail).count(b"Date") == fields(mail).count(b"Message-ID") == fields(mail).count(b"Received") == 1
    assert b"127.0.0.1" not in mail and b"client.test" not in mail, "the submitter's address leaks"
    message = b"From: <s@x.test>\r\ndate: Mon, 1 Jan 1970 00:00:00 +0000\r\nMESSAGE-ID: <mine@x.test>\r\n\r\nhello\r\n"
    mail = arrived(w, t, message, "b4b@a.test")
    assert mail.endswith(message) and fields(mail).count(b"Date") == 0 and b"Message-ID:" not in mail


def test_B4_what_is_there_twice_stays_and_none_can_be_added(w, t):
    """Nothing of the sender's is chosen for him; a receiver that shows another one has no valid signature to show with it."""
    message = (b"From: <s@sender.test>\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\ndate: Tue, 2 Jan 2024 00:00:00 +0000\r\n"
               b"Message-ID: <one@x.test>\r\nMESSAGE-ID: <two@x.test>\r\nSubject: one\r\nsubject: two\r\n\r\nhello\r\n")
    mail = arrived(w, t, message, "b4d@a.test")
    assert mail.endswith(message)
    names = [f.lower() for f in fields(mail)]
    for n, value in enumerate(email.message_from_bytes(mail).get_all("DKIM-Signature")):
        assert dkim_ok(mail, KEYS, n)
        signed = re.search(r"\bh=([^;]*)", value).group(1).lower()
        for name in ("date", "message-id", "subject"):
            assert names.count(name.encode()) == 2 and [f.strip() for f in signed.split(":")].count(name) == 3, signed
            assert not dkim_ok(mail.replace(b"\r\n\r\n", b"\r\n%s: three\r\n\r\n" % name.encode(), 1), KEYS, n)
            assert not dkim_ok(re.sub(rb"(?mi)^%s: .*\r\n" % name.encode(), b"", mail, count=1), KEYS, n)


def test_B5_unwanted_fields_are_taken_out(w, t):
    mail = arrived(w, t, b"From: <s@x.test>\r\nBcc: <hidden@x.test>,\r\n <more@x.test>\r\nReturn-Path: <r@x.test>\r\n"
                   b"Content-Length: 5\r\nSubject: kept\r\n\r\nBcc: body\r\n", "b5@a.test")
    assert not {b"Bcc", b"Return-Path", b"Content-Length"} & set(fields(mail))
    assert b"hidden" not in mail and b"more@" not in mail
    assert mail.endswith(b"Subject: kept\r\n\r\nBcc: body\r\n")


def test_B5_a_line_of_a_mailbox_file_is_taken_out(w, t):
    """What PHP and the like hand on as it stands in their files; the signature is made without it."""
    for n, line in enumerate((b"From s@x.test Mon Jan  1 00:00:00 2024\r\n", b">From - Mon Jan  1 00:00:00 2024\r\n")):
        rest = b"From: <s@sender.test>\r\nX-Case: mailbox%d;\r\n\r\nFrom here on\r\n" % n
        submit(t, line + rest, f"b5.{n}@a.test")
        gives(w, f"b5.{n}@a.test")
        (mail,) = [m for m in w.mails() if b"X-Case: mailbox%d;" % n in m]
        assert mail.endswith(b"\r\n" + rest) and b"2024" not in mail
        assert dkim_ok(mail, KEYS, 0) and opendkim_ok(mail, KEYS)
    submit(t, b"Subject: x\r\nFrom s@x.test Mon Jan  1 00:00:00 2024\r\nFrom: <s@x.test>\r\n\r\n", "b5@a.test", "550 5.6.0 Byte 12 ")


def test_B6_routing_fields_of_a_trusted_client(w, t):
    mail = arrived(w, t, b"From: <s@x.test>\r\nX-Job: winter-7\r\nX-Virtual-MTA: marketing\r\n\r\nhello\r\n", "b6@a.test")
    assert b"X-Job" not in fields(mail) and b"X-Virtual-MTA" not in fields(mail)
    row = gives(w, "b6@a.test")
    assert (row["jobId"], row["vmtaPool"], row["vmta"]) == ("winter-7", "marketing", "two")
    submit(t, b"From: <s@x.test>\r\nX-Virtual-MTA: nowhere\r\n\r\n", "b6@a.test", "550 5.7.1")
    submit(t, b'From: <s@x.test>\r\nX-Job: a,"b"\r\n\r\n', "b6@a.test", "550 5.6.0")


def test_B6_routing_fields_of_an_untrusted_client():
    with running(listen="trusted = no", blocks="source one { }\nsource two { }\npool p { sources = { two } }") as w:
        w.send("s@x.test", ["r@a.test"], headers="X-Job: j\r\nX-Virtual-MTA: p\r\nX-Mtad-Pool: nowhere\r\n")
        row = gives(w)
        assert (row["jobId"], row["vmtaPool"], row["vmta"]) == ("", "", "one")
        assert not {b"X-Job", b"X-Virtual-MTA", b"X-Mtad-Pool"} & set(fields(w.mails()[0]))


# name: (settings, what is wrong with the line marked "#!")
INJECTED = {"lf": ('bounce-from = "m@a.test\nBcc: <x@y.test>" #!', "not closed"),
            "lf_in_single_quotes": ("bounce-from = 'm@a.test\nBcc: <x@y.test>' #!", "not closed"),
            "cr": ('domain "b.test" { refuse = "no\rBcc: <x@y.test>" } #!', "carriage return"),
            "escaped": ('domain "b.test" { refuse = "no\\r\\nBcc: <x@y.test>" } #!', "backslash"),
            "second_address": ('bounce-from = "m@a.test>, <x@y.test" #!', "no mail address"),
            "ehlo": ('source one { ehlo = "a.test X" } #!', "no host name"),
            "removed_header": ('remove-headers = { "X-A:" } #!', "header field"),
            "job_header": ('job-headers = { "X-Job\t" } #!', "header field"),
            "selector": ('dkim a.test { selector = "s; d=b.test" key = "k" } #!', "selector"),
            "control": ('domain "b.test" { refuse = "\x1b[2J" } #!', "control byte"),
            "user": ('user "a b" { password-file = "p" } #!', "no name")}


@pytest.mark.parametrize("name", INJECTED)
def test_B7_settings_with_line_ends(tmp_path, name):
    text, words = INJECTED[name]
    conf = tmp_path / "c.conf"
    conf.write_bytes(b'hostname = a.test\nspool-dir = "spool"\nlisten s { address = { 127.0.0.1:5870 } }\n' +
                     text.replace(" #!", "").encode() + b"\n")
    done = subprocess.run([program("mtad"), "-t", "-c", str(conf)], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "c.conf:4:" in done.stderr and words in done.stderr, done.stderr


def test_B7_environment_stays_out_of_settings():
    """libconfuse would put it in: a name in quotes is words and nothing else."""
    os.environ["B7_EVIL"] = "no\r\nBcc: <x@y.test>"
    with running(blocks='domain "b.test" { refuse = "${B7_EVIL}" }') as w:
        w.send("", ["r@b.test"])
        assert gives(w, "r@b.test", "b")["dsnDiag"].endswith("${B7_EVIL}")


def test_B7_line_ends_in_what_mtactl_says():
    """The operator's reason goes into records, the log and the report; it stays one line in each."""
    script = A_TEST + 'site x { domains = { "x.test" } }'
    with running(script) as w:
        w.ctl("pause", "domain", "a.test", "--reason", "because\r\n\r\ninjected: line")
        w.send("s@x.test", ["r@a.test"])
        w.ctl("bounce", "--all", "--yes", "--reason", "too late\r\nX-Injected: yes\r\n\r\n.\r\nfalse, \"body\" \x1b[2J")
        row = gives(w, "r@a.test", "b")
        gives(w, "s@x.test")
        (mail,) = w.mails()
        assert "too late" in row["dsnDiag"] and not {"\r", "\n", "\x1b"} & set(row["dsnDiag"])
        assert b"too late" in mail and not re.search(rb"(?m)^(X-Injected|\.\r)", mail)
        assert b"\n" not in mail.replace(b"\r\n", b"")
        status = email.message_from_bytes(mail).get_payload()[1].get_payload()
        assert len(status) == 2 and "false" in status[1]["Diagnostic-Code"]
        assert not re.search(r"(?m)^(injected|X-Injected|\r|false)", w.log_text())


def test_B8_8_bit_body_to_a_site_without_8bitmime(w, t):
    message = "From: <s@x.test>\r\nX-Case: b8@ascii.test;\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße\r\n".encode()
    submit(t, message, "b8@ascii.test", options="BODY=8BITMIME")
    row = wait_for("an end", lambda: next((r for r in w.rows() if r["rcpt"] == "b8@ascii.test" and r["type"] in "db"), None))
    mails = [m for m in w.mails() if b"b8@ascii.test;" in m and b"report-type" not in m]
    if row["type"] == "b":
        assert row["dsnStatus"] == "5.6.3" and not mails
    else:
        assert all(b < 128 for b in mails[0])
    assert "Grüße".encode() in arrived(w, t, b"From: <s@x.test>\r\n\r\n" + "Grüße\r\n".encode(), "b8@a.test", "BODY=8BITMIME")


def test_B9_raw_8_bit_header(w, t):
    """As it came to a site that takes 8 bits; back to the sender from one that does not; the log stays ASCII."""
    message = "From: Jörg <s@sender.test>\r\nSubject: 日本語 \x80\r\n".encode() + b"X-Odd: \xff\xfe\r\n\r\nhello\r\n"
    mail = arrived(w, t, message, "b9@a.test", "BODY=8BITMIME")
    assert mail.endswith(message) and dkim_ok(mail, KEYS, 0) and opendkim_ok(mail, KEYS)
    submit(t, message, "b9@ascii.test", options="BODY=8BITMIME")
    assert gives(w, "b9@ascii.test", "b")["dsnStatus"] == "5.6.3"
    assert not [a for a in w.arrived() if a["rcpt"] == "b9@ascii.test"]
    assert w.log_text().isascii()


def test_B10_smtputf8_to_a_site_without_it(w, t):
    t.say("MAIL FROM:<jürgen@sender.test> SMTPUTF8".encode() + b"\r\n", "250")
    t.say("RCPT TO:<b10@ascii.test>", "250")
    t.data(MAIL)
    row = gives(w, "b10@ascii.test", "b")
    assert row["dsnStatus"] == "5.6.7"
    # The report about it reaches a sender who has no SMTPUTF8 either.
    t.say("MAIL FROM:<s@sender.test> SMTPUTF8", "250")
    t.say("RCPT TO:<jürgen@ascii.test>".encode() + b"\r\n", "250")
    t.data("From: <s@sender.test>\r\nX-Case: b10;\r\nTo: <jürgen@ascii.test>\r\nSubject: Grüße\r\n\r\nhello\r\n.\r\n".encode())
    (report,) = wait_for("the report", lambda: [m for m in w.mails() if b"X-Case: b10;" in m])
    assert report.isascii() and b"report-type=delivery-status" in report
    parts = email.message_from_bytes(report).get_payload()
    (_, about) = parts[1].get_payload()
    assert (about["Final-Recipient"], about["Action"], about["Status"]) == (r"utf-8;j\x{FC}rgen@ascii.test", "failed", "5.6.7")
    assert parts[0].get_payload().count("553 5.6.7 message needs SMTPUTF8") == 1
    # Marked only where it is needed.
    t.say("MAIL FROM:<s@sender.test> SMTPUTF8", "250")
    t.say("RCPT TO:<b10plain@ascii.test>", "250")
    t.data(MAIL)
    gives(w, "b10plain@ascii.test")


def test_B13_size_is_exact(w, t):
    head = b"From: <s@x.test>\r\n\r\n"
    for over in (-1, 0, 1):
        left = (1 << 20) + over - len(head)
        body = (b"x" * 98 + b"\r\n") * (left // 100)
        body += b"y" * (left - len(body) - 2) + b"\r\n" if left - len(body) >= 2 else b""
        pad = left - len(body)
        assert pad == 0
        submit(t, head + body, f"size{over}@a.test", "552 5.3.4" if over > 0 else "250")
        assert f"SIZE {1 << 20}" in t.say("EHLO client.test")


def test_B17_foreign_signatures_and_arc_stay_and_ours_stand_above(w, t):
    message = (b"ARC-Seal: i=1; a=rsa-sha256; t=1; cv=none; d=list.test; s=x; b=x\r\n"
               b"ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed;\r\n\td=list.test; s=x; h=from; bh=x; b=x\r\n"
               b"ARC-Authentication-Results: i=1; list.test; dkim=pass header.d=other.test\r\n"
               b"DKIM-Signature: v=1; a=rsa-sha256; d=other.test; s=x; h=from; bh=x; b=x\r\n"
               b"Authentication-Results: list.test; dkim=pass\r\nFrom: <s@sender.test>\r\n\r\nhello\r\n")
    mail = arrived(w, t, message, "b17@a.test")
    assert mail.endswith(message)
    names = fields(mail)
    assert names[:2] == [b"DKIM-Signature"] * 2 and names.count(b"DKIM-Signature") == 3
    assert dkim_ok(mail, KEYS, 0) and dkim_ok(mail, KEYS, 1)


MIME = b'From: <s@sender.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n'
BROKEN = {
    "no_end_boundary": MIME + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n",
    "no_boundary": b"From: <s@sender.test>\r\nContent-Type: multipart/mixed\r\n\r\n--\r\n--x\r\n",
    "1000_levels": MIME + b"\r\n" + b"".join(b"--b\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
                                            for n in range(1000)),
    "bad_base64": MIME + b"\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!=A=\r\n=\r\n--b--\r\n",
    "bad_quoted_printable": b"From: <s@sender.test>\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ =\r\n=",
    "wrong_charset": b"From: <s@sender.test>\r\nContent-Type: text/plain; charset=nothing-8\r\n\r\n\xff\xfe\x80\r\n",
    "two_content_types": MIME + b"Content-Type: text/html\r\nContent-Transfer-Encoding: 7bit, base64\r\n\r\n--b--\r\n",
    "controls": MIME + b"\r\n--b\r\n\r\n\x01\x1a\x7f\r\n--b--\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_B11_broken_mime_passes_untouched(w, t, name):
    message = BROKEN[name] if BROKEN[name].endswith(b"\r\n") else BROKEN[name] + b"\r\n"
    mail = arrived(w, t, message, f"b11-{name}@a.test", "BODY=8BITMIME")
    assert mail.endswith(message) and dkim_ok(mail, KEYS, 0) and opendkim_ok(mail, KEYS)


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 +0000", "Fri, 31 Dec 9999 23:59:59 +0000", "Mon, 1 Jan 24 12:00 EST",
                                  "31 Feb 2026 25:61:61 +9999", "tomorrow", "-1"])
def test_B16_dates_are_the_senders(w, t, date):
    message = f"From: <s@sender.test>\r\nDate: {date}\r\n\r\nhello\r\n".encode()
    assert arrived(w, t, message, f"b16-{abs(hash(date))}@a.test").endswith(message)


@pytest.mark.parametrize("body", [b"From s@x.test Mon Jan  1 00:00:00 2024\r\nFrom: <other@x.test>\r\n\r\n>From there\r\n",
                                  b"#!/bin/sh\r\nrm -rf /\r\n", b"QUIT\r\n..\r\nRSET\r\nDATA\r\n", b"begin 644 x\r\nend\r\n",
                                  b"\x04\x1a\x7fELF\r\n%!PS\r\nPK\x03\x04\r\n"], ids=["mbox", "script", "smtp", "uuencode", "magic"])
def test_B27_content_is_not_interpreted(w, t, body):
    message = b"From: <s@sender.test>\r\n\r\n" + body
    mail = arrived(w, t, message, f"b27-{body[1:3].hex()}@a.test")
    assert mail.endswith(message) and dkim_ok(mail, KEYS, 0)


BODIES = {"plain": b"hello\r\n", "empty": b"", "blank_lines_at_end": b"hello\r\n\r\n\r\n\r\n", "only_blank_lines": b"\r\n\r\n",
          "blanks_at_line_ends": b"a  \t\r\n \t b\t\tc \r\n \r\n", "dots": b".\r\n..\r\n.x\r\n", "long": b"0123456789" * 90 + b"\r\n",
          "large": (b"line of a large message " * 3 + b"\r\n") * 12000, "eight_bit": "Grüße\r\n".encode()}
HEADERS = {"plain": b"From: <s@sender.test>\r\nTo: <r@a.test>\r\nSubject: hi\r\n",
           "folded": b"from:\tSome One\r\n\t<s@Sender.TEST>\r\nSUBJECT:  two   blanks \r\n folded\t \r\nTo:r@a.test\r\n",
           "unsubscribe": b"From: <s@sender.test>\r\nList-Unsubscribe: <https://x.test/u?1>\r\n"
                          b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
           "encoded": b"From: =?utf-8?q?a=0D=0ABcc:x?= <s@sender.test>\r\nSubject: =?utf-8?q?x=0AInjected:_1?=\r\n"}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("body", BODIES)
def test_B18_signatures_verify(w, t, body, header):
    rcpt = f"{body}-{header}@a.test"
    message = HEADERS[header] + b"\r\n" + BODIES[body]
    mail = arrived(w, t, message, rcpt, "BODY=8BITMIME")
    assert mail.endswith(message), "the message was changed"
    assert fields(mail)[:2] == [b"DKIM-Signature"] * 2
    assert dkim_ok(mail, KEYS, 0) and dkim_ok(mail, KEYS, 1) and opendkim_ok(mail, KEYS)
    assert not dkim_ok(mail + b"x\r\n", KEYS, 0), "dkimpy lets everything pass"
    assert not opendkim_ok(mail + b"x\r\n", KEYS), "libopendkim lets everything pass"
    # Oversigned: a second From or Subject breaks it.
    assert not dkim_ok(mail.replace(b"\r\n\r\n", b"\r\nSubject: other\r\n\r\n", 1), KEYS, 0)


def test_B21_unsubscribe_fields_are_signed(w, t):
    """RFC 8058 4: or one-click does not work. And oversigned: nobody may put another link in."""
    mail = arrived(w, t, HEADERS["unsubscribe"] + b"\r\nhello\r\n", "b21@a.test")
    for n, value in enumerate(email.message_from_bytes(mail).get_all("DKIM-Signature")):
        signed = [f.strip() for f in re.search(r"\bh=([^;]*)", value).group(1).lower().split(":")]
        for name in ("list-unsubscribe", "list-unsubscribe-post"):
            assert signed.count(name) == 2, signed
        assert not dkim_ok(mail.replace(b"https://x.test/u?1", b"https://y.test/u?1"), KEYS, n)
        assert not dkim_ok(mail.replace(b"\r\n\r\n", b"\r\nList-Unsubscribe: <https://y.test>\r\n\r\n", 1), KEYS, n)


def test_B26_encoded_words_are_not_decoded(w, t):
    message = HEADERS["encoded"] + b"To: =?utf-8?b?PHhAeS50ZXN0Pg0KQmNjOiA8ekB5LnRlc3Q+?= <r@a.test>\r\n\r\nhello\r\n"
    mail = arrived(w, t, message, "b26@a.test")
    assert mail.endswith(message) and dkim_ok(mail, KEYS, 0)
    assert {a["rcpt"] for a in w.arrived() if a["id"] == next(b["id"] for b in w.arrived() if b["rcpt"] == "b26@a.test")} == {"b26@a.test"}
    assert not re.search(r"(?m)^(Bcc|Injected)", w.log_text() + (w.dir / "acct.csv").read_text())


def test_B25_report_about_a_message_no_report_may_look_like(w, t):
    """8 bits, controls, long lines, boundaries that look like ours: the report itself is legal and 7 bit."""
    message = ("From: Jörg <s@sender.test>\r\nSubject: " + "ü" * 300 + "\r\n").encode() + (
        b"Content-Type: multipart/report; boundary=b\r\n\r\n--b--\r\n" + b"\xff" * 998 + b"\r\n\x1b[2J\r\n..\r\n" +
        b"Final-Recipient: rfc822; x@y.test\r\nAction: delivered\r\n")
    submit(t, b"X-Case: b25;\r\n" + message, "b25@ascii.test", options=" BODY=8BITMIME RET=FULL")
    gives(w, "b25@ascii.test", "b")
    (report,) = wait_for("the report", lambda: [m for m in w.mails() if b"X-Case: b25;" in m and b"report-type=delivery-status" in m])
    assert report.isascii() and b"\n" not in report.replace(b"\r\n", b"")
    assert max(map(len, report.split(b"\r\n"))) <= 998
    parts = email.message_from_bytes(report).get_payload()
    assert [p.get_content_type() for p in parts][:2] == ["text/plain", "message/delivery-status"] and len(parts) == 3
    assert [b["Action"] for b in parts[1].get_payload()[1:]] == ["failed"]


def test_B18_header_alone_and_no_last_line_end(w, t):
    fields_alone = b"X-Case: alone@a.test;\r\nFrom: <s@sender.test>\r\nBcc: <b@x.test>\r\nSubject: hi\r\n"
    submit(t, fields_alone, "alone@a.test")
    t.envelope("s@sender.test", ["cut@a.test"])
    cut = b"X-Case: cut@a.test;\r\nFrom: <s@sender.test>\r\n\r\nno line end"
    t.say(b"BDAT %d LAST\r\n" % len(cut) + cut, "250")
    for rcpt, end in (("alone@a.test", b"Subject: hi\r\n"), ("cut@a.test", b"\r\n\r\nno line end\r\n")):
        gives(w, rcpt)
        (mail,) = [m for m in w.mails() if f"X-Case: {rcpt};".encode() in m]
        assert mail.endswith(end) and b"Bcc" not in mail
        assert dkim_ok(mail, KEYS, 0) and dkim_ok(mail, KEYS, 1) and opendkim_ok(mail, KEYS)


def test_B19_wildcard_key_and_long_header_list(w, t):
    names = b"".join(b"X-Long-Field-Name-Number-%d: v\r\n" % n for n in range(60))
    mail = arrived(w, t, b"From: <s@sub.wild.test>\r\n" + names + b"\r\nhello\r\n", "b19@a.test")
    assert fields(mail).count(b"DKIM-Signature") == 1 and dkim_ok(mail, {"any._domainkey.wild.test": KEYS[
        "any._domainkey.sub.wild.test"], **KEYS})
    assert max(map(len, mail.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("name", ["own", "other", "own_first", "other_first", "group"])
def test_B20_which_key_signs(w, t, name):
    """That of the first author's domain; without one the message goes as it is, and the log says so."""
    author, is_signed = {"own": ("s@sender.test", True), "other": ("s@other.test", False),
                         "own_first": ("s@sender.test, <o@other.test>", True),
                         "other_first": ("Other <o@other.test>, s@sender.test", False),
                         "group": ("Team: s@sender.test;", True)}[name]
    seen = len(w.log_text())
    mail = arrived(w, t, f"From: {author}\r\nSender: s@sender.test\r\n\r\nhello\r\n".encode(), f"b20.{name}@a.test")
    assert fields(mail).count(b"DKIM-Signature") == 2 * is_signed
    assert not is_signed or (dkim_ok(mail, KEYS, 0) and dkim_ok(mail, KEYS, 1))
    assert re.findall(r" info received msg=.* signed=(\w+) from=\"s@sender.test\"", w.log_text()[seen:]) == ["yes" if is_signed else "no"]


def test_first_key_of_a_reload_signs_on_older_connections():
    with running() as w, Talk(w.port) as t:
        t.hello()
        t.envelope()
        t.data(b"From: <s@sender.test>\r\n\r\nbefore\r\n.\r\n")
        block, name, record = dkim_key(w.dir, "sender.test", "s1", "ed25519")
        w.blocks = block
        w.write_config()
        w.ctl("reload")
        t.envelope()
        t.data(b"From: <s@sender.test>\r\n\r\nafter\r\n.\r\n")
        wait_for("both", lambda: len(w.mails()) == 2)
        assert sorted((b"after" in m, dkim_ok(m, {name: record})) for m in w.mails()) == [(False, False), (True, True)]


def test_B22_null_sender_gets_no_report():
    script = A_TEST + 'site x { domains = { "x.test" } }'
    with running(script) as w, Talk(w.port) as t:
        t.hello()
        for sender in ("", "s@x.test"):
            t.say(f"MAIL FROM:<{sender}>", "250")
            for domain in ("a.test", "nowhere.invalid-domain.test-none"):
                t.say(f"RCPT TO:<r{sender[:1]}@{domain}>", "250")
            t.data(MAIL)
            gives(w, f"r{sender[:1]}@a.test")
            gives(w, f"r{sender[:1]}@nowhere", "b")
        gives(w, "s@x.test")  # whoever has an address gets one, and is the only one
        wait_for("an empty queue", lambda: w.ctl("status", "--json")["summary"]["recipients"] == 0)
        assert [a["rcpt"] for a in w.arrived()] == ["r@a.test", "rs@a.test", "s@x.test"]
        assert sum(r["type"] == "r" for r in w.rows()) == 5 and sum(b"report-type" in m for m in w.mails()) == 1


def test_B23_a_megabyte_to_a_thousand_recipients(w, t):
    """From the first RCPT to the 250 in less than a second, in one of five tries: a test machine has other work, and
    ThreadSanitizer makes more of it."""
    limit = 3 if sanitizer() == "t" else 1
    body = b"From: <s@x.test>\r\n\r\n" + (b"x" * 98 + b"\r\n") * 10000 + b".\r\n"
    w.ctl("pause", "all")
    used = w.ctl("status", "--json")["summary"]["spool"]["used_bytes"]
    times = []
    while len(times) < 5 and min(times, default=limit) >= limit:
        t.say("MAIL FROM:<s@x.test>", "250")
        begun = time.monotonic()
        t.raw("".join(f"RCPT TO:<b23.{len(times)}.{n}@d{n % 500:03d}.test>\r\n" for n in range(1000)))
        for _ in range(1000):
            t.expect("250")
        t.data(body)
        times.append(time.monotonic() - begun)
    assert min(times) < limit, times
    grown = w.ctl("status", "--json")["summary"]["spool"]["used_bytes"] - used
    assert grown < len(times) * (2 << 20), "stored once for all"
    w.ctl("resume", "all")
    wait_for("1000 deliveries of each", lambda: sum(r["type"] == "d" and r["rcpt"].startswith("b23.") for r in w.rows())
             == 1000 * len(times), 120)


def test_B28_same_message_id(w, t):
    for n in range(3):
        submit(t, b"From: <s@x.test>\r\nMessage-ID: <same@x.test>\r\n\r\nhello\r\n", f"b28.{n}@a.test")
    for n in range(3):
        gives(w, f"b28.{n}@a.test")


def test_D15_message_larger_than_the_site_takes(w, t):
    submit(t, b"From: <s@x.test>\r\n\r\n" + (b"x" * 98 + b"\r\n") * 200, "big@small.test")
    row = gives(w, "big@small.test", "b")
    assert row["dsnStatus"] == "5.3.4"


def test_show_client_and_protocol_words():
    with running(users={"shop": ""}, listen="show-client = yes  auth-in-clear = yes") as w:
        with Talk(w.port) as t:
            t.hello()
            t.auth("shop", "secret")
            t.envelope()
            t.data(MAIL)
        row = gives(w)
        assert row["srcMta"] == "shop"
        assert b"Received: from client.test ([127.0.0.1])\r\n\tby mta.sender.test with ESMTPA id " in w.mails()[0]
