# SPDX-License-Identifier: Apache-2.0
"""Faults C, end to end: each domain of one world has its own trouble; what becomes of its mail."""
import collections
import json
import os
import socket
import subprocess
import threading
import time

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from namespaces import network
from test_tls import NORMAL, Peer
from tools import free_port, gives, running, wait_for

SCRIPT = '''
record "nomx.test" { a = "127.3.1.1" }
record "noaddress.test" { txt = "there is a name, but no mail host" }
record "skip.test" { mx = { "10 gone.skip.test", "20 mx1.good.mx.test" } }
record "allgone.test" { mx = { "10 gone1.allgone.test", "20 gone2.allgone.test" } }
record "halfknown.test" { mx = { "10 gone.halfknown.test", "20 ill.halfknown.test" } }
record "ill.halfknown.test" { a = "127.3.1.1" fault = servfail }
record "dotbeside.test" { mx = { "0 .", "10 mx1.good.mx.test" } }
record "address.test" { mx = { "10 127.3.1.1" } }
record "upper.test" { mx = { "10 MX1.GOOD.mx.Test." } }
record "trap.test" { mx = { "10 mx1.trap.example" } }
record "mx1.trap.example" { a = "127.3.1.1" }
record "selfbest.test" { mx = { "10 mta.sender.test", "20 mx1.good.mx.test" } }
record "selfworse.test" { mx = { "10 mx1.good.mx.test", "20 mta.sender.test", "30 gone.test" } }
record "aliased.test" { mx = { "10 alias.good.test" } }
record "alias.good.test" { cname = "mx1.good.mx.test" }
site good { domains = { "good.test", "good2.test", "nomx.test", "skip.test", "dotbeside.test", "address.test", "upper.test",
            "selfworse.test", "aliased.test", "allgone.test", "halfknown.test", "selfbest.test", "noaddress.test" } }
site nullmx { domains = { "null.test" } dns { records = null-mx } }
site servfail { domains = { "servfail.test" } dns { fault = servfail on = mx } }
site silent { domains = { "silent.test" } dns { fault = timeout on = mx } }
site refused { domains = { "refused.test" } dns { fault = refused on = mx } }
site garbage { domains = { "garbage.test" } dns { fault = garbage on = mx } }
site truncated { domains = { "truncated.test" } dns { fault = truncate on = mx } }
site large { domains = { "large.test" } addresses = 60 }
site larger { domains = { "larger.test" } addresses = 120 }
site implicit { domains = { "implicit.test" } dns { records = implicit } }
site alias { domains = { "alias.test" } dns { records = cname } }
site chain { domains = { "chain.test" } dns { records = cname cname-length = 30 } }
site loop { domains = { "loop.test" } dns { records = cname cname-length = 0 } }
site heals { domains = { "heals.test" } dns { fault = servfail on = mx heal = 3s } }
'''

DELIVERED = {"C2_no_mx_but_an_address": "nomx.test", "C2_implicit": "implicit.test", "C7_truncated_then_tcp": "truncated.test",
             "C7_60_mx_records": "large.test", "C11_120_mx_records": "larger.test",
             "C12_cname": "alias.test", "C13_mx_is_a_cname": "aliased.test",
             "C14_one_mx_name_absent": "skip.test", "C17_null_mx_beside_another": "dotbeside.test",
             "C19_ourselves_is_worse": "selfworse.test", "C27_upper_case_and_dot": "upper.test",
             "C3_heals": "heals.test"}
BOUNCED = {"C1_nxdomain": ("absent.nowhere", "5.1.2"), "C1_no_mx_no_address": ("noaddress.test", "5.1.2"),
           "C15_all_mx_names_absent": ("allgone.test", "5.4.4"), "C16_null_mx": ("null.test", "5.1.10"),
           "C19_ourselves_is_best": ("selfbest.test", "5.4.6"), "C20_mx_is_an_address": ("address.test", "5.4.4"),
           "C33_mx_that_is_refused": ("trap.test", "5.7.1")}
WAITING = {"C3_servfail": "servfail.test", "C3_timeout": "silent.test", "C4_refused": "refused.test",
           "C9_garbage": "garbage.test", "C15_some_servfail": "halfknown.test", "C12_cname_loop": "loop.test",
           "C12_long_cname_chain": "chain.test"}


@pytest.fixture(scope="module")
def w():
    settings = "dns-retry = 1s\ndns-timeout = 200ms\ndns-tries = 2\n"
    traps = 'provider traps { mx = { "*.trap.example" } refuse = "a misspelling of good.test" }'
    with running(SCRIPT, settings=settings, blocks=traps) as world:
        for domain in [*DELIVERED.values(), *[d for d, _ in BOUNCED.values()], *WAITING.values()]:
            world.send("s@x.nowhere", [f"r@{domain}"])
        time.sleep(1)
        yield world


@pytest.mark.parametrize("name", DELIVERED)
def test_delivered(w, name):
    gives(w, f"r@{DELIVERED[name]}")


def test_C11_what_is_left_out_is_told_once(w):
    gives(w, "r@larger.test")
    (line,) = [l for l in w.log_text().splitlines() if " dns_odd " in l]
    assert line.endswith('type=MX taken=100 too_many=20 nonsense=0 name="larger.test"'), line


@pytest.mark.parametrize("name", BOUNCED)
def test_bounced(w, name):
    domain, esc = BOUNCED[name]
    row = gives(w, f"r@{domain}", "b")
    assert row["dsnStatus"] == esc and row["dsnDiag"].startswith("x-mtad;")
    assert row["bounceCat"] == {"5.4.6": "routing-errors", "5.7.1": "policy-related"}.get(esc, "bad-domain")
    assert "C33" not in name or "a misspelling of good.test" in row["dsnDiag"]


@pytest.mark.parametrize("name", WAITING)
def test_waiting(w, name):
    domain = WAITING[name]
    rows = w.ctl("queue", "--json")["rows"]
    (row,) = [r for r in rows if r["domain"] == domain]
    assert row["ready"] + row["waiting"] == 1 and row["reply"], row
    assert not [r for r in w.rows() if r["rcpt"] == f"r@{domain}" and r["type"] in "db"]
    assert not [a for a in w.arrived() if a["rcpt"] == f"r@{domain}"]


PRIVATE = {"loopback": "127.3.1.1", "private_10": "10.1.2.3", "private_192": "192.168.1.1", "private_172": "172.16.0.1",
           "zero": "0.0.0.0", "link_local": "169.254.1.1", "multicast": "224.0.0.1", "documentation": "192.0.2.1",
           "broadcast": "255.255.255.255"}
PRIVATE6 = {"v6_loopback": "::1", "v6_mapped": "::ffff:127.3.1.1", "v6_link_local": "fe80::1", "v6_unique_local": "fd00::1",
            "nat64": "64:ff9b::7f03:101", "v6_multicast": "ff02::1", "v6_unspecified": "::"}


def test_C18_addresses_we_do_not_go_to():
    names = [*PRIVATE, *PRIVATE6]
    script = "".join(f'record "{n.replace("_", "-")}.test" {{ mx = {{ "10 h.{n.replace("_", "-")}.test" }} }}\n'
                     f'record "h.{n.replace("_", "-")}.test" {{ {"a" if n in PRIVATE else "aaaa"} = "{(PRIVATE | PRIVATE6)[n]}" }}\n'
                     for n in names)
    script += 'record "localhost.mx.test" { mx = { "10 localhost" } }\nsite a { domains = { "a.test" } }\n'
    with running(script, delivery="allow-private = no", settings="dns-timeout = 200ms\n") as w:
        domains = [f"{n.replace('_', '-')}.test" for n in names]
        w.send("s@x.nowhere", [f"r@{d}" for d in domains] + ["r@localhost.mx.test", "r@a.test"])
        for d in [*domains, "a.test"]:
            assert gives(w, f"r@{d}", "b")["dsnStatus"] == "5.4.6", d
        assert gives(w, "r@localhost.mx.test", "b")["dsnStatus"] in ("5.4.6", "5.4.4")
        assert w.arrived() == []


def test_C6_first_resolver_is_dead():
    with running(settings="dns-timeout = 300ms\n",
                 before=lambda w: setattr(w, "dns_servers", f'"127.0.0.1:1", "127.0.0.1:{w.dns_port}"')) as w:
        w.send("s@x.test", ["r@a.test"])
        gives(w)


def test_C5_all_resolvers_silent_then_back():
    with running(settings="dns-retry = 1s\ndns-timeout = 100ms\ndns-tries = 1\n") as w:
        w.simulator.kill()
        w.simulator.wait()
        w.send("s@x.test", ["r@a.test"])
        time.sleep(2)
        assert [r["type"] for r in w.rows() if r["rcpt"] == "r@a.test"] == ["r"]
        lines = [l for l in w.log_text().splitlines() if "dns_trouble" in l]
        assert 1 <= len(lines) <= 4, "a storm of queries"
        w.sim('site a { domains = { "a.test" } }')
        gives(w)


class Resolver:
    """A resolver on loopback whose answers the test makes: answer(name, type, query) gives the texts of the records, None
    for silence, or a whole message. What does not exist is NXDOMAIN."""

    def __init__(self, answer):
        self.answer, self.counts, self.port = answer, collections.Counter(), free_port()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", self.port))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            data, peer = self.socket.recvfrom(4096)
            query = dns.message.from_wire(data)
            question = query.question[0]
            name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
            self.counts[name, kind] += 1
            made = self.answer(name, kind, query)
            if isinstance(made, list):
                texts, made = made, dns.message.make_response(query)
                made.set_rcode(0 if texts else dns.rcode.NXDOMAIN)
                if texts:
                    made.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *texts))
            if made is not None:
                self.socket.sendto(made.to_wire(), peer)

    def serves(self, w):
        w.dns_servers = f'"127.0.0.1:{self.port}"'


def test_C23_one_question_for_many_messages():
    """Many messages for one name at once: counted by a resolver that answers late."""
    def answer(name, kind, query):
        time.sleep(0.05)
        return {"MX": ["10 host.test."], "A": ["127.3.1.1"]}.get(kind, [])
    resolver = Resolver(answer)
    with running(before=resolver.serves) as w:
        with w.client() as c:
            for n in range(200):
                c.sendmail("s@x.test", [f"r{n}@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("200 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 200)
        assert resolver.counts["a.test.", "MX"] == 1 and max(resolver.counts.values()) <= 2, resolver.counts


def test_C29_a_bogus_zone_waits():
    """A validating resolver says SERVFAIL, with the reason of RFC 8914. It would give the data if we asked it not to
    check: we do not, and the domain's address is no way around either."""
    def answer(name, kind, query):
        bogus = name == "a.test." and kind == "MX" or name == "signed.test."
        if bogus and not query.flags & dns.flags.CD:
            made = dns.message.make_response(query)
            made.set_rcode(dns.rcode.SERVFAIL)
            if query.edns >= 0:
                made.use_edns(0, options=[dns.edns.GenericOption(15, b"\0\x06signature expired")])
            return made
        return {"MX": ["10 signed.test." if name == "b.test." else "10 host.test."], "A": ["127.3.1.1"]}.get(kind, [])
    resolver = Resolver(answer)
    with running(before=resolver.serves, settings="dns-retry = 1s\n") as w:
        w.send("", ["r@a.test", "r@b.test", "r@c.test"])
        gives(w, "r@c.test")
        wait_for("a second look", lambda: min(resolver.counts["a.test.", "MX"], resolver.counts["signed.test.", "A"]) >= 2)
        rows = {r["domain"]: r for r in w.ctl("queue", "--json")["rows"]}
        assert set(rows) == {"a.test", "b.test"} and all("SERVFAIL" in r["reply"] for r in rows.values()), rows
        assert not [r for r in w.rows() if r["type"] == "b"] and len(w.arrived()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes networks")
def test_C32_the_address_that_was_judged_is_the_one_dialled():
    """Rebinding: the host's address is public when it is looked up first, ours from then on. One look-up serves judgement
    and connection; an address of ours beside a public one is never the next to try."""
    def answer(name, kind, query):
        if kind == "MX":
            return ["10 beside.test."] if name == "b.test." else ["10 rebound.test."]
        if kind != "A":
            return []
        if name == "beside.test.":
            return ["5.5.5.2", "127.0.0.1"]
        return ["5.5.5.1"] if resolver.counts[name, kind] == 1 else ["127.0.0.1"]
    with network():
        # Delivered here without being an interface's address.
        subprocess.run(["ip", "route", "add", "local", "5.5.5.0/24", "dev", "lo"], check=True)
        resolver = Resolver(answer)
        with running(before=resolver.serves, delivery="allow-private = no  retry = { 1s }  idle = 0s") as w:
            outside, inside = (Peer(lambda peer, c: peer.talk(c, NORMAL), host, w.site_port) for host in ("5.5.5.1", "127.0.0.1"))
            w.send("", ["r@a.test", "r@b.test"])
            assert gives(w)["dlvDestinationIp"] == "5.5.5.1"
            w.send("", ["again@a.test"])
            assert gives(w, "again@a.test")["dlvDestinationIp"] == "5.5.5.1"
            wait_for("two attempts", lambda: sum(r["type"] == "t" and r["rcpt"] == "r@b.test" for r in w.rows()) >= 2)
            assert (outside.connections, inside.connections) == (2, 0)
            assert {r["dlvDestinationIp"] for r in w.rows() if r["type"] == "t"} <= {"5.5.5.2", ""}


def test_C34_a_wildcard_that_answers_everything():
    """Every name has MX and address, each its own: the questions are as many as the names, the connections as allowed."""
    def answer(name, kind, query):
        return {"MX": [f"10 mx.{name}"], "A": ["127.3.1.1"]}.get(kind, [f"{name}"] if kind == "CNAME" else [])
    resolver = Resolver(answer)
    with running('site a { domains = { "a.test" } }', before=resolver.serves, settings="connections-total = 4\n",
                 delivery="idle = 100ms") as w:
        with w.client() as c:
            for n in range(60):
                c.sendmail("", [f"r@d{n}.wild.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
        wait_for("60 records", lambda: sum(r["type"] == "d" for r in w.rows()) == 60)
        w.simulator.terminate()
        clients = json.loads(w.simulator.communicate()[0])["sites"]["a"]["clients"]
        assert max(c["peak_open"] for c in clients.values()) <= 5, "one that ends may overlap with the next one"
        assert max(resolver.counts.values()) == 1 and len(resolver.counts) == 180
        assert {k for _, k in resolver.counts} == {"MX", "A", "AAAA"}


def test_C26_C28_names():
    with running() as w:
        with w.client() as c:
            c.ehlo()
            c.mail("s@x.test")
            assert c.rcpt("r@under_score.test")[0] in (250, 501)
            assert c.rcpt("r@a..test")[0] == 501
            assert c.rcpt("r@" + ".".join(["d" * 60] * 5))[0] == 501
            assert c.rcpt("r@A.TEST.")[0] in (250, 501)
        w.send("s@x.test", ["r@A.Test"])
        gives(w, "r@A.Test")
