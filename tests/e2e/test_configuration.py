# SPDX-License-Identifier: Apache-2.0
"""Faults G: what mtad -t says about configurations, and what a reload does."""
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import time

import pytest
from namespaces import network
from tools import (MAIL, Talk, certificate, descriptors, dkim_key, free_port, gives, lean, memory, program, running,
                   wait_for)

GOOD = 'hostname = a.test\nspool-dir = "spool"\nlisten s { address = { 127.0.0.1:5870 } }\n'


def check(path):
    done = subprocess.run([program("mtad"), "-t", "-c", str(path)], capture_output=True, text=True, timeout=20)
    assert done.returncode in (0, 1), f"{done.returncode} {done.stderr}"
    return done.returncode, done.stdout + done.stderr


# name: (text, words of the message); the place is always c.conf:LINE with the line of the text that has "#!" (or any)
BAD = {
    "G1_unknown_setting": (GOOD + "conections-total = 7 #!\n", '"connections-total"'),
    "G1_unknown_block": (GOOD + 'domian "a.test" { } #!\n', '"domain"'),
    "G1_unknown_choice": (GOOD + 'domain "*" {\n tls = maybe #!\n}\n', "none/may/encrypt/verify"),
    "G2_right_setting_wrong_block": (GOOD + 'domain "*" {\n hostname = b.test #!\n}\n', "hostname"),
    "G2_delivery_at_top_level": (GOOD + "retry = { 1h } #!\n", "domain"),
    "G3_listener_twice": (GOOD + "listen s { address = { 127.0.0.1:5871 } } #!\n", "s"),
    "G4_no_unit": (GOOD + "stop-timeout = 30 #!\n", "s"),
    "G4_negative": (GOOD + "stop-timeout = -30s #!\n", ""),
    "G4_overflow": (GOOD + "stop-timeout = 99999999999999d #!\n", ""),
    "G4_below_minimum": (GOOD + "dns-tries = 0 #!\n", "1"),
    "G4_zero_message_max": (GOOD + "listen t { address = { 127.0.0.1:5871 } message-max = 0 } #!\n", ""),
    "G5_missing_include": (GOOD + 'include("absent.conf") #!\n', "absent.conf"),
    "G6_nul": (GOOD + "stop-timeout = 3\0s #!\n", ""),
    "G6_not_closed": (GOOD + 'domain "*" { connections = 1\n', ""),
    "G6_string_not_closed": (GOOD + 'hostname = "abc\n', ""),
    "G7_pool_without_sources": (GOOD + "pool p { } #!\n", "source"),
    "G7_pool_with_unknown_source": (GOOD + "source one { }\npool p { sources = { two } } #!\n", "two"),
    "G7_unknown_pool": (GOOD + "listen t { address = { 127.0.0.1:5871 } pool = q } #!\n", "q"),
    "G14_open_relay_v4": (GOOD + "listen t { address = { *:5871 } networks = { 0.0.0.0/0 } } #!\n", "relay"),
    "G14_open_relay_v6": (GOOD + 'listen t { address = { *:5871 } networks = { "::/0" } } #!\n', "relay"),
    "G15_E27_key_readable_by_others": (GOOD + 'listen t { address = { 127.0.0.1:5871 } certificate = "cert.pem" key = "open.key" } #!\n',
                                   "open.key"),
    "G15_password_readable_by_others": (GOOD + 'user u { password-file = "open.key" } #!\n', "open.key"),
    "G7_route_without_hosts": (GOOD + 'route r { domains = { "*" } } #!\n', "host"),
    "dkim_key_missing": (GOOD + 'dkim a.test { selector = s key = "absent.pem" } #!\n', "absent.pem"),
    "dkim_key_is_none": (GOOD + 'dkim a.test { selector = s key = "junk.key" } #!\n', "junk.key"),
    "address_taken_twice": (GOOD + "listen t { address = { 127.0.0.1:5870 } } #!\n", "5870"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad(tmp_path, name):
    text, words = BAD[name]
    (tmp_path / "open.key").write_text("$y$j9T$x\n")
    (tmp_path / "open.key").chmod(0o644)
    (tmp_path / "cert.pem").write_text("x\n")
    (tmp_path / "junk.key").write_text("junk\n")
    (tmp_path / "junk.key").chmod(0o600)
    (tmp_path / "c.conf").write_text(text.replace(" #!", ""))
    code, said = check(tmp_path / "c.conf")
    line = next((n for n, l in enumerate(text.split("\n"), 1) if "#!" in l), None)
    assert code == 1 and words in said, said
    # Keys are read after the file, so only the file is named.
    assert f"c.conf:{line}:" in said if line is not None and name != "dkim_key_is_none" else "c.conf" in said, said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change accounts")
def test_secret_that_run_as_cannot_read(tmp_path):
    block, *_ = dkim_key(tmp_path)
    key = next(tmp_path.glob("*.pem"))
    (tmp_path / "c.conf").write_text(f"{GOOD}run-as = nobody\n{block}")
    code, said = check(tmp_path / "c.conf")
    assert code == 1 and f"c.conf:5: {key} is not readable by nobody (run-as); run: chown nobody {key}\n" in said, said
    shutil.chown(key, "nobody")
    assert check(tmp_path / "c.conf")[0] == 0


FINE = {"G6_crlf": GOOD.replace("\n", "\r\n"), "G6_bom": "\ufeff" + GOOD, "G17_least": 'listen s { address = { 127.0.0.1:5870 } }\n',
        "comments": GOOD + "# a comment\n/* and\nanother */\n// third\n"}


@pytest.mark.parametrize("name", FINE)
def test_fine(tmp_path, name):
    (tmp_path / "c.conf").write_bytes(FINE[name].encode())
    code, said = check(tmp_path / "c.conf")
    assert code == 0, said


def test_G5_include_loop_and_junk(tmp_path):
    (tmp_path / "c.conf").write_text(GOOD + 'include("d.conf")\n')
    (tmp_path / "d.conf").write_text('include("c.conf")\n')
    code, said = check(tmp_path / "c.conf")
    assert code == 1 and "d.conf" in said
    (tmp_path / "d.conf").write_text("dns-tries = many\n")
    code, said = check(tmp_path / "c.conf")
    assert code == 1 and "d.conf:1:" in said, said


def test_G16_many_blocks(tmp_path):
    (tmp_path / "c.conf").write_text(GOOD + "".join(f'domain "d{n}.test" {{ connections = 3 }}\n' for n in range(20000)))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert check(tmp_path / "c.conf")[0] == 0
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before.ru_utime < 8


# Where a start fails, from early to late: (what is replaced in GOOD, by what, words).
FAILED_STARTS = {
    "port": ("5870", "{taken}", "c.conf:4: listen s cannot bind 127.0.0.1:"),
    "control_socket": ('"control"', '"/proc/control"', "control-socket"),
    "spool": ('"spool"', '"/proc/spool"', "spool"),
    "accounting_folder": ("= none", "= /proc/none/acct.csv", "/proc/none"),
    "accounting": ("= none", "= /proc/acct.csv", "accounting"),
}


def test_start_makes_the_folder_of_the_accounting(tmp_path):
    """The defaults name /var/log/mtad, which a fresh machine does not have."""
    text = GOOD.replace("5870", str(free_port())) + 'control-socket = "control"\naccounting-file = new/acct.csv\n'
    (tmp_path / "c.conf").write_text(text)
    with subprocess.Popen([program("mtad"), "-f", "-c", tmp_path / "c.conf"]) as daemon:
        try:
            wait_for("the file", lambda: daemon.poll() is not None or (tmp_path / "new" / "acct.csv").exists())
        finally:
            daemon.terminate()
    assert (tmp_path / "new" / "acct.csv").exists() and daemon.returncode == 0


@pytest.mark.parametrize("name", FAILED_STARTS)
def test_failed_start(tmp_path, name):
    """One line says why, and all that was made until then is given back (LeakSanitizer would say more)."""
    old, new, words = FAILED_STARTS[name]
    good = GOOD.replace("listen", 'control-socket = "control" accounting-file = none\nlisten')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = good.replace(old, new.format(taken=taken.getsockname()[1])).replace("5870", str(free_port()))
        assert text != good
        (tmp_path / "c.conf").write_text(text)
        done = subprocess.run([program("mtad"), "-f", "-c", tmp_path / "c.conf"], capture_output=True, text=True, timeout=20)
    said = [line for line in done.stderr.splitlines() if " info " not in line and " error listen_failed " not in line]
    assert done.returncode == 1 and len(said) == 1, done.stderr
    assert said[0].startswith("mtad: cannot start: ") and words in said[0], said


def rewrite(w, old, new):
    path = w.dir / "mtad.conf"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_G9_reload_is_a_transaction():
    with running(listen="recipients-max = 3") as w:
        rewrite(w, "recipients-max = 3", "recipients-max = 5\nnonsense = 3")
        done = w.ctl("reload", check=False)
        assert done.returncode == 1 and "mtad.conf:" in done.stdout + done.stderr

        assert says_limit(w.port) == 3
        rewrite(w, "nonsense = 3", "")
        w.daemon.send_signal(signal.SIGHUP)
        wait_for("the new limit", lambda: says_limit(w.port) == 5)
        w.send("s@x.test", ["r@a.test"])
        gives(w)


def test_G10_reload_takes_a_source_with_queued_mail_away():
    blocks = "source one { }\nsource two { }\npool p { sources = { two } }\npool q { sources = { one } }"
    with running('site a { domains = { "a.test" } rule { on = rcpt reply = "451 4.7.1 later" count = 1 } }', blocks=blocks,
                 delivery="retry = { 2s }  idle = 0s") as w:
        w.send("s@x.test", ["r@a.test"], headers="X-Virtual-MTA: p\r\n")
        assert gives(w, "r@a.test", "t")["vmta"] == "two"
        rewrite(w, blocks, "source one { }\npool q { sources = { one } }")
        w.ctl("reload")
        assert gives(w)["vmta"] == "one"


def test_G12_reloads_under_load():
    """Mail goes on, its counts too; descriptors and memory stay as they were after the first fifty, and a clean stop lets
    LeakSanitizer look for what is smaller than the noise."""
    def before(w):
        block, *_ = dkim_key(w.dir, "x.test")
        cert, key = certificate(w.dir)
        w.listen = f'certificate = "{cert}"  key = "{key}"'
        w.blocks = block + "".join(f'domain "d{n}.test" {{ connections = 3 }}\n' for n in range(500))

    def reload_until(count):
        """SIGHUPs that come together count once."""
        nonlocal reloads, sent
        while reloads < count:
            w.daemon.send_signal(signal.SIGHUP)
            c.sendmail("s@x.test", [f"r{sent}@a.test"], b"From: <s@x.test>\r\n\r\nhello\r\n")
            sent += 1
            reloads += log.read().count(" config_loaded ")
        wait_for("all records", lambda: sum(r["type"] == "d" for r in w.rows()) == sent)
        wait_for("no session", lambda: w.ctl("status", "--json")["summary"]["sessions"]["delivering"] == 0)
    reloads = sent = 0
    with running('site a { domains = { "a.test" } latency = 5ms }', before=before, wrapper=lean(), delivery="idle = 0s") as w:
        with w.client() as c, open(w.dir / "mtad.log") as log:
            reload_until(50)
            held, open_files = memory(w), descriptors(w)
            reload_until(150)
            wait_for("as many descriptors as before", lambda: descriptors(w) <= open_files)
            assert memory(w) - held < 8 << 20, f"{held} -> {memory(w)}"
        assert not [r for r in w.rows() if r["type"] in "tb"] and len(w.arrived()) == sent
        assert w.ctl("audit", "--json")["summary"]["accepted"] == sent
        w.stop()
        assert " config_refused " not in w.log_text() and "Sanitizer" not in w.log_text()


def is_served(port):
    try:
        with Talk(port, timeout=5) as t:
            t.hello()
            return True
    except ConnectionError:
        return False


def listens(name, *addresses):
    return f"listen {name} {{ address = {{ {', '.join(addresses)} }} }}"


def local(port):
    return f'"127.0.0.1:{port}"'


def says_limit(port):
    """How many recipients a transaction may have there."""
    with Talk(port) as t:
        t.hello()
        t.say("MAIL FROM:<s@x.test>", "250")
        return next(n for n in range(100) if not t.say(f"RCPT TO:<r{n}@a.test>").startswith("250"))


def test_G13_listeners_come_and_go():
    """Each of the daemon's threads has a socket of its own, so each change is tried by several connections."""
    first, second, path = free_port(), free_port(), "{dir}/submit"
    with running() as w, Talk(w.port) as early:
        early.hello()
        path = path.format(dir=w.dir)
        w.blocks = listens("more", local(first), f'"{path}"')
        w.write_config()
        assert 'listen "more": added (now)' in w.ctl("reload")
        wait_for("the new listener", lambda: all(is_served(first) for _ in range(10)))
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(path)
            assert s.recv(100).startswith(b"220 ")
        # Both listeners change their addresses; one takes the other's.
        old, w.port = w.port, first
        w.blocks = listens("more", local(second))
        w.write_config()
        assert 'listen "more": address: ' in w.ctl("reload")
        wait_for("the end of the old address", lambda: not any(is_served(old) for _ in range(10)))
        assert all(is_served(port) for port in (first, second) for _ in range(10))
        with socket.socket(socket.AF_UNIX) as s, pytest.raises(ConnectionRefusedError):
            s.connect(path)
        assert f" info listen_ended address=127.0.0.1:{old}\n" in w.log_text()
        # Who came by an address that has gone is served to the end.
        early.envelope()
        early.data(MAIL)
        gives(w)
        w.blocks = ""
        w.write_config()
        assert 'listen "more": removed (now)' in w.ctl("reload")
        wait_for("the end of the second", lambda: not is_served(second))
        w.stop()


def test_G13_port_is_busy():
    """A reload that cannot bind all changes nothing, and leaves nothing open."""
    with running(listen="recipients-max = 3") as w, socket.create_server(("127.0.0.1", 0)) as taken:
        good, busy = free_port(), taken.getsockname()[1]
        w.listen = "recipients-max = 5"
        w.blocks = "\n".join((listens("good", local(good)), listens("busy", local(busy))))
        text = w.write_config().read_text()
        line = next(n for n, words in enumerate(text.split("\n"), 1) if "listen busy" in words)
        done = w.ctl("reload", check=False)
        assert done.returncode == 1
        said = f"mtad.conf:{line}: listen busy cannot bind 127.0.0.1:{busy}: Address already in use\nnothing was changed\n"
        assert said in done.stdout + done.stderr
        assert " error config_refused " in w.log_text()
        assert says_limit(w.port) == 3 and not is_served(good)
        taken.close()
        w.ctl("reload")
        wait_for("both, and the limit", lambda: is_served(good) and is_served(busy) and says_limit(w.port) == 5)
        w.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has network namespaces and can drop root")
def test_G13_no_right_to_bind():
    """Once root is dropped, low ports are out of reach; the daemon serves on as it was."""
    with network(), running(settings="run-as = nobody", before=lambda w: w.dir.chmod(0o777)) as w:
        w.blocks = listens("low", local(587))
        w.write_config().chmod(0o644)
        done = w.ctl("reload", check=False)
        words = "listen low cannot bind 127.0.0.1:587: Permission denied; a port below 1024 needs CAP_NET_BIND_SERVICE, or a start as root"
        assert done.returncode == 1 and words in done.stdout + done.stderr
        assert is_served(w.port)


def test_G13_a_second_daemon():
    with running() as one:
        with running(before=lambda w: setattr(w, "port", one.port)) as two:
            assert two.daemon.wait(timeout=10) == 1
            assert f"cannot bind 127.0.0.1:{one.port}" in two.log_text()


def explain(path, *words):
    return subprocess.run([program("mtactl"), "-c", str(path), *words], capture_output=True, text=True, timeout=20)


def test_G18_explain(tmp_path):
    """Each value and the line it stands in, without a daemon."""
    (tmp_path / "c.conf").write_text(GOOD + 'domain "*" {\n retry = { 1m, 1h }\n}\ninclude("d.conf")\n')
    (tmp_path / "d.conf").write_text('provider big { mx = { "*.big.test" }\n connections = 7\n}\n')
    said = explain(tmp_path / "c.conf", "explain", "a.test", "mx.big.test").stdout.splitlines()
    assert said[0].split() == ["SETTING", "VALUE", "FROM", "AT"]
    rows = {line.split()[0]: line for line in said}
    assert rows["connections"].split() == ["connections", "7", "provider", "big", f"{tmp_path}/d.conf:2"]
    assert rows["retry"].split() == ["retry", "1m,", "1h", "domain", "*", f"{tmp_path}/c.conf:5"]
    assert rows["port"].split() == ["port", "25", "default"]
    assert rows["refuse"].split() == ["refuse", "(not", "set)", "default"]
    without = explain(tmp_path / "c.conf", "explain", "a.test")
    assert "providers are known by their MX hosts: name that of a.test" in without.stderr and "provider" not in without.stdout
    top = json.loads(explain(tmp_path / "c.conf", "--json", "explain").stdout)["rows"]
    assert {"setting": "spool-dir", "value": f"{tmp_path}/spool", "block": "", "at": f"{tmp_path}/c.conf:2"} in top
    bad = explain(tmp_path / "c.conf", "explain", "a..test")
    assert bad.returncode == 1 and bad.stdout == "" and '"a..test" is no domain' in bad.stderr


RULES = '''provider big { mx = { *.big.test }  domains = { big.test } }
rule first { providers = big  text = 'too (fast|much)'  pause = "lane 2h"  note = "see there" }
rule second { code = 4xx  text = 'fast'  count = "3 in 10m"  slow = 50%  treat = temporary  retry = 90s  last = yes }
rule third { text = 'fast'  alert = yes }
'''
# words of the command: (names of the rules, exit code)
RULES_TRIED = {
    "--provider big": (["first", "second"], 0),
    "--mx mx1.BIG.test": (["first", "second"], 0),
    "--domain big.test": (["first", "second"], 0),
    "--domain a.test --mx mx1.big.test": (["first", "second"], 0),
    "--domain a.test": (["second"], 0),
    "--domain a.test --mx mx.a.test": (["second"], 0),
    "": (["first", "second", "third"], 0),
    "--provider big --phase rcpt": (["first", "second"], 0),
}


@pytest.mark.parametrize("words", RULES_TRIED)
def test_rules_tried(tmp_path, words):
    (tmp_path / "c.conf").write_text(GOOD + RULES)
    done = explain(tmp_path / "c.conf", "--json", "rules", "test", *words.split(), "421-4.7.0 you are\n421 4.7.0 too fast")
    answer = json.loads(done.stdout)
    assert ([r["rule"] for r in answer["rows"]], done.returncode) == RULES_TRIED[words], done.stderr
    assert answer["summary"]["treat"] == "temporary" and answer["summary"]["retry_us"] == 90_000_000


def test_rules_shown(tmp_path):
    (tmp_path / "c.conf").write_text(GOOD + RULES)
    said = explain(tmp_path / "c.conf", "rules", "test", "--provider", "big", "550 too much").stdout.splitlines()
    assert said[1].split("  ")[0] == "first" and "pause the lane for 2h" in said[1] and f"{tmp_path}/c.conf:5" in said[1]
    assert said[2:] == ["the recipient: next attempt as scheduled"]
    said = explain(tmp_path / "c.conf", "rules", "test", "421 fast").stdout
    assert "slow the lane to 50% for 1h after 3 in 10m; treat as temporary; retry in 1m30s; no further rule" in said
    assert "the recipient: taken as temporary; next attempt in 90s" in said
    none = explain(tmp_path / "c.conf", "rules", "test", "550 5.1.1 unknown")
    assert (none.returncode, none.stdout) == (1, "no rule holds for this reply\n")
    listed = explain(tmp_path / "c.conf", "rules", "list", "--domain", "a.test", "--mx", "mx.a.test").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["second", "third"]
    assert "4xx 'fast'" in listed[1]


def test_rules_of_a_file(tmp_path):
    (tmp_path / "c.conf").write_text(GOOD + RULES)
    (tmp_path / "replies").write_bytes(b"421 too fast\n550 no\x1b[1m such user\n\nno reply at all\n450 caf\xe9 fast\r\n")
    words = [tmp_path / "c.conf", "rules", "test", "--provider", "big", "--file", tmp_path / "replies"]
    done = subprocess.run([program("mtactl"), "-c", *words], capture_output=True, timeout=20)
    assert done.stdout == (b"421 too fast\tfirst second\n550 no [1m such user\t\n\t\nno reply at all\t\n"
                           b"450 caf\xe9 fast\tsecond\n")
    assert done.returncode == 0
    rows = json.loads(explain(tmp_path / "c.conf", "--json", *words[1:]).stdout)["rows"]
    assert [r["rules"] for r in rows] == [["first", "second"], [], [], [], ["second"]]


# words of the command: words of what is said
RULES_WRONG = {
    "rules": "rules list", "rules tset x": "rules list", "rules list x": "rules list", "rules test": "rules list",
    "rules test later": "a reply begins with its code", "rules test --provider bog 421": 'no provider "bog"',
    "rules test --phase helo 421": "greeting, ehlo", "rules test --mx a..b 421": '"a..b" is no domain',
    "rules test --provider big --mx mx.big.test 421": "--provider, or --domain and --mx",
    "rules test --file nix": "nix: No such file", "rules test 421 --site x": "takes no --site", "rules test 421 fast": '"fast"',
}


@pytest.mark.parametrize("words", RULES_WRONG)
def test_rules_wrong(tmp_path, words):
    (tmp_path / "c.conf").write_text(GOOD + RULES)
    done = explain(tmp_path / "c.conf", *words.split())
    assert (done.returncode, done.stdout) == (2, "") and RULES_WRONG[words] in done.stderr, done


def test_H6_signals():
    with running() as w:
        for name in ("SIGUSR2", "SIGPIPE", "SIGCHLD", "SIGWINCH"):
            w.daemon.send_signal(getattr(signal, name))
        for _ in range(50):
            w.daemon.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        w.send("s@x.test", ["r@a.test"])
        gives(w)
        w.stop()


def test_H6_reloads_that_come_together_are_one():
    """A slow one, and fifty signals meanwhile: one more, and mtactl does not wait for fifty."""
    many = "".join(f'domain "d{n}.test" {{ connections = 3 }}\n' for n in range(20000))
    with running(blocks=many) as w:
        w.ctl("reload")
        loads = w.log_text().count(" config_loaded ")
        for _ in range(50):
            w.daemon.send_signal(signal.SIGHUP)
            time.sleep(0.005)
        wait_for("a reload", lambda: w.log_text().count(" config_loaded ") > loads)
        w.ctl("reload")
        assert w.log_text().count(" config_loaded ") - loads < 20
        w.stop()
