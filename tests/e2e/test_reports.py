# SPDX-License-Identifier: Apache-2.0
"""mtactl feedback read; and real reports, against what is known to be in them.

The latter are not part of the project: MTAD_BOUNCE_CORPUS names a folder whose oob/ has (expected.tsv with dsn/, arf-expected.tsv with
arf/, not-bounce/). `python3 test_reports.py` prints what was missed.
"""
import csv
import json
import os
import pathlib
import re
import subprocess
import tempfile
from email.header import decode_header, make_header

import pytest

from world import program

CONF = pathlib.Path(__file__).resolve().parents[2] / "conf"
CORPUS = pathlib.Path(os.environ.get("MTAD_BOUNCE_CORPUS", "/nonexistent")) / "oob"
needs_corpus = pytest.mark.skipif(not (CORPUS / "expected.tsv").exists(),
                                  reason="MTAD_BOUNCE_CORPUS names no folder with oob/expected.tsv: real reports are NOT tested")


def read(folder):
    """The rows of mtactl by file name."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(f'hostname = mta.example.com\ninclude("{CONF / "reports.conf"}")\n')
        conf.flush()
        done = subprocess.run([program("mtactl"), "-c", conf.name, "--json", "feedback", "read", str(CORPUS / folder)],
                              capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return {pathlib.Path(row["file"]).name: row for row in json.loads(done.stdout)["rows"]}


def expected(name):
    with open(CORPUS / name, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def same(a, b):
    """Addresses: encoded words are as good as what they say."""
    return plain(a) == plain(b)


def plain(text):
    word = re.fullmatch(r"(=\?utf-8\?b\?.+\?=)(.*)", text, re.IGNORECASE)
    return (str(make_header(decode_header(word[1]))) + word[2] if word else text).lower()


def has_recipient(row, want):
    """One of the recipients has the address and the status, if one is known."""
    return any((same(r.get("address", ""), want["recipient"]) or same(r.get("original", ""), want["recipient"]))
               and want["status"] in ("", r.get("status", "")) for r in row["recipients"])


def score_deliveries(form):
    """(how many there are, those that were missed)."""
    found, wanted = read("dsn"), [row for row in expected("expected.tsv") if row["format"] == form]
    return len(wanted), [row for row in wanted if not has_recipient(found[row["file"]], row)]


def feedback_misses():
    """What a report says and we do not, of each report: (file, field, expected, got)."""
    found = read("arf")
    for want in expected("arf-expected.tsv"):
        row = found[want["file"]]
        original = row["original"]
        got = {
            "feedback_type": row.get("feedback_type", ""),
            "original_rcpt_to": " ".join(r["address"] for r in row["recipients"]),
            "original_mail_from": original.get("return_path", ""),
            "source_ip": original.get("source_ip", ""),
            "reported_domain": row.get("reported_domain", ""),
            "arrival_date": original.get("arrival_date", ""),
            "user_agent": row.get("reporter", ""),
            "auth_failure": row.get("auth_failure", ""),
            "delivery_result": row.get("delivery_result", ""),
            "message_id_of_original": original.get("message_id", ""),
            "list_id_or_from_of_original": original.get("list_id") or original.get("from", ""),
        }
        for field, value in got.items():
            known = want[field].split(" ")[0] if field == "source_ip" else want[field]
            if known != "" and not same(known, value):
                yield want["file"], field, known, value


BOUNCE = """From: <>
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; gone@example.net
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx2.example.net
Diagnostic-Code: smtp; 550 5.1.1 no \x1b[31msuch user

--b
Content-Type: text/rfc822-headers

Message-ID: <one@example.com>
From: shop@example.com
--b--
"""


def test_one_file_and_standard_input(tmp_path):
    (tmp_path / "one").write_text(BOUNCE)
    words = [program("mtactl"), "feedback", "read"]
    said = subprocess.run([*words, tmp_path / "one"], capture_output=True, text=True, check=True).stdout
    assert "gone@example.net" in said and "5.1.1" in said and "\x1b" not in said
    assert said.endswith("1 mail, 0 not understood\n") and "\none " in said
    (tmp_path / "two").write_text("Subject: hello\n\nhello\n")
    done = subprocess.run([*words, tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and "2 mails, 1 not understood; report blocks say" in done.stdout
    done = subprocess.run([*words, "-", "--json"], capture_output=True, text=True, check=True, input=BOUNCE)
    (row,) = json.loads(done.stdout)["rows"]
    assert row["kind"] == "bounce" and row["original"] == {"message_id": "one@example.com", "from": "shop@example.com"}
    assert row["recipients"] == [{"kind": "bounce", "address": "gone@example.net", "action": "failed", "status": "5.1.1",
                                  "code": 550, "remote_mta": "mx2.example.net", "text": "550 5.1.1 no [31msuch user"}]


PROSE = """From: robot@example.net
Subject: sorry

<gone@example.net> was not there: 550 5.1.1 no
"""


def test_report_blocks(tmp_path):
    """A block of the configuration is tried on a mail; one that is wrong is an error, and nothing is read."""
    conf = tmp_path / "mtad.conf"

    def ask(blocks):
        if blocks is not None:
            conf.write_text("hostname = mta.example.com\n" + blocks)
        return subprocess.run([program("mtactl"), "-c", conf, "--json", "feedback", "read", "-"], capture_output=True,
                              text=True, check=False, input=PROSE)

    done = ask(None)
    assert done.returncode == 1 and "only standard reports are read" in done.stderr
    done = ask("")
    assert done.returncode == 1 and "has no report blocks" in done.stderr
    done = ask("report robot { header = '^From: robot@'  recipient = '^<(?<rcpt>[^>]+)> (?<text>.*)' }\n")
    (row,) = json.loads(done.stdout)["rows"]
    assert done.returncode == 0 and done.stderr == "" and row["kind"] == "bounce"
    assert row["recipients"] == [{"kind": "bounce", "address": "gone@example.net", "status": "5.1.1", "code": 550,
                                  "text": "was not there: 550 5.1.1 no"}]
    done = ask("report robot {\n header = '^From: robot@'\n recipient = '<(.*'\n}\n")
    assert done.returncode == 2 and "mtad.conf:4: " in done.stderr and done.stdout == ""


def test_a_directory_and_what_is_none(tmp_path):
    (tmp_path / "reports" / "deeper").mkdir(parents=True)
    (tmp_path / "reports" / "a").write_text(BOUNCE)
    (tmp_path / "reports" / "b").write_text("Subject: hello\n\nno report\n")
    (tmp_path / "reports" / ".hidden").write_text(BOUNCE)
    words = [program("mtactl"), "feedback", "read", "--json"]
    done = subprocess.run([*words, tmp_path / "reports"], capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout)
    assert done.returncode == 1 and [row["kind"] for row in answer["rows"]] == ["bounce", "unknown"]
    assert answer["summary"] == {"mails": 2, "unknown": 1}
    done = subprocess.run([*words, tmp_path / "none"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "none: No such file" in done.stderr
    done = subprocess.run([*words[:2]], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "feedback read FILE" in done.stderr


@needs_corpus
def test_standard_deliveries():
    count, missed = score_deliveries("rfc3464")
    assert count > 200 and len(missed) <= count * 0.01, [(row["file"], row["recipient"], row["status"]) for row in missed]


@needs_corpus
def test_deliveries_in_prose():
    count, missed = score_deliveries("non-standard")
    assert count > 150 and len(missed) <= count * 0.03, [(row["file"], row["recipient"], row["status"]) for row in missed]


@needs_corpus
def test_feedback_reports():
    assert list(feedback_misses()) == []


@needs_corpus
def test_what_is_no_bounce():
    assert [name for name, row in read("not-bounce").items() if row["kind"] in ("bounce", "complaint")] == []


def main():
    mails = read("dsn")
    for form in ("rfc3464", "non-standard"):
        count, missed = score_deliveries(form)
        print(f"{form}: {count - len(missed)} of {count} recipients")
        for row in missed:
            got = [(r.get("address"), r.get("status")) for r in mails[row["file"]]["recipients"]]
            print(f"  {row['file']} {row['recipient']} {row['status']} got {got}")
    missed = list(feedback_misses())
    print(f"feedback reports: {len(missed)} fields missed")
    for miss in missed:
        print("  %s %s expected %r got %r" % miss)
    print("not bounces:", {name: row["kind"] for name, row in read("not-bounce").items()})


if __name__ == "__main__":
    main()
