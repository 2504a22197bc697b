# SPDX-License-Identifier: Apache-2.0
"""The three ledgers of a run, and what must be true of them: a row (invariant, words, is it so, detail) each.

acked     what mtasim-load saw acknowledged; unknown: no reply came after the final dot
arrived   what the sites took
recorded  the accounting files"""
import collections
import csv
import datetime
import json

DAY_S = 86400
RECORD_LATE_S = 0.05  # the daemon's clock is read a little before a record is written
WINDOW_S = 2.0  # a copy that came so shortly before a kill may come again: its record was not on disk yet


class Books:
    def __init__(self, w, ledger):
        self.acked, self.unknown, self.crc = set(), set(), {}
        for line in ledger.read_text().splitlines():
            f = line.split("\t")
            if f[1] in ("acked", "unknown"):
                (self.acked if f[1] == "acked" else self.unknown).add((f[2], f[3]))
                self.crc[f[2]] = f[6]
        self.arrivals = w.arrived()
        # From "-": bounce mails, which the daemon writes itself.
        self.arrived = collections.Counter((a["id"], a["rcpt"]) for a in self.arrivals if a["outcome"] == "ok" and a["from"] != "-")
        self.reports = {a["id"] for a in self.arrivals if a["from"] == "-"}
        self.records = collections.Counter()
        for path in w.dir.glob("acct.csv*"):
            with open(path, newline="") as f:
                for row in csv.DictReader(f):
                    if row["type"] in ("d", "b"):
                        self.records[(row["type"], row["rcpt"])] += 1
        self.events = []
        # In the order they were ended: their names have the time of clocks that were set.
        for path in sorted(w.dir.glob("acct.jsonl*"), key=lambda p: p.stat().st_mtime):
            self.events += [json.loads(line) for line in path.read_text().splitlines()]
        # A message that was sent again under a new id (its first acknowledgement was lost) is another to the same recipient.
        self.sent = collections.Counter(rcpt for _, rcpt in self.acked | self.unknown)

    def ended(self, kind):
        return {rcpt for k, rcpt in self.records if k == kind}


def every_end(b):
    """I1"""
    bounced = b.ended("b")
    lost = [k for k in b.acked if k not in b.arrived and k[1] not in bounced]
    return not lost, f"{len(b.acked)} acknowledged, {len(lost)} lost {lost[:3] or ''}"


def nothing_invented(b):
    """I2"""
    invented = [k for k in b.arrived if k not in b.acked and k not in b.unknown]
    return not invented, f"{len(invented)} invented {invented[:3] or ''}"


def delivered_means_arrived(b):
    """I3"""
    delivered, arrived = b.ended("d"), {rcpt for _, rcpt in b.arrived}
    # Who arrived in the crash window and was removed or given up before he came again is recorded as that.
    unproven = (delivered & set(b.sent)) - arrived
    unrecorded = {rcpt for rcpt in arrived if rcpt in b.sent} - delivered - b.ended("b")
    return not unproven and not unrecorded, \
        f"{len(delivered)} recorded, {len(unproven)} not arrived, {len(unrecorded)} arrived and not recorded"


def copies(b, kills):
    """Second copies in all, and those whose earlier copy neither came just before a kill nor was left without a reply.
    kills: (from, to), the time before it in which results may not have been on disk."""
    count, strange = 0, []
    times = collections.defaultdict(list)
    for a in b.arrivals:
        times[(a["id"], a["rcpt"])].append((int(a["time"]) / 1e6, a["outcome"]))
    for key, all_copies in times.items():
        for at, outcome in sorted(all_copies)[:-1]:
            count += 1
            if outcome == "ok" and not any(begun <= at <= end for begun, end in kills):
                strange.append((*key, at))
    return count, strange


def bodies(b):
    """I5"""
    wrong = sum(1 for a in b.arrivals if b.crc.get(a["id"], a["crc"]) != a["crc"])
    return wrong == 0, f"{wrong} differ"


def one_final_record(b):
    """I10"""
    doubled = [r for r in b.sent if b.records[("d", r)] + b.records[("b", r)] > b.sent[r]]
    return not doubled, f"{len(doubled)} recipients with more {doubled[:3] or ''}"


def one_bounce_mail(b):
    """I10. A recipient may have two messages, one that bounced and one that an operator removed without a word."""
    bounces = sum(e["record"] == "b" and e["event"] != "dropped" and e["rcpt"] in b.sent for e in b.events)
    return len(b.reports) == bounces, f"{bounces} bounced, {len(b.reports)} bounce mails"


def seconds(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def schedule_kept(b, early):
    """I9: nobody is tried before the time his last record said, but where that is to be expected (early).
    Of a day, because clocks are set by whole days."""
    due, too_early, pairs = {}, [], 0
    for e in b.events:
        if e["event"] != "deferred":
            continue
        at, key = seconds(e["time"]), (e["message"], e["recipient_number"])
        if key in due:
            last, not_before = due[key]
            pairs += 1
            if last <= at < not_before - RECORD_LATE_S and \
                    not any((when - last + 1) % DAY_S <= at - last + 2 for when in early):
                too_early.append((e["rcpt"], round(at - not_before, 3)))
        due[key] = at, seconds(e["next_attempt"])
    return not too_early, f"{pairs} pairs of attempts, {len(too_early)} too early {too_early[:3] or ''}"


def nobody_too_old(b, domain, limit_s):
    """I7, where nothing is ever delivered."""
    ages = [seconds(e["time"]) - seconds(e["queued"]) for e in b.events
            if e["event"] == "expired" and e["rcpt"].endswith("@" + domain)]
    return all(age <= limit_s for age in ages), f"{len(ages)} expired, at most {max(ages, default=0):.1f} s old of {limit_s} s"


def limits_kept(stats, connections, recipients):
    """I8, by the sites' clock."""
    clients = [c for site in stats["sites"].values() for c in site["clients"].values()]
    most = max((c["peak_open"] for c in clients), default=0)
    largest = max((c["peak_recipients"] for c in clients), default=0)
    return most <= connections and largest <= recipients, \
        f"at most {most} of {connections} connections, {largest} of {recipients} recipients"
