# SPDX-License-Identifier: Apache-2.0
"""What is issued with mail: a return path for each recipient, unsubscribe links, and what comes back by them."""
import base64
import contextlib
import http.client
import re
import socket
import time

import pytest
from tools import A_TEST, Talk, dkim_key, dkim_ok, free_port, running, wait_for

VERP = re.compile(r"bounce\+([a-z2-7]{40})@bounces\.sender\.test")
ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def secret(w, name="tokens", byte=b"s"):
    path = w.dir / name
    path.write_bytes(base64.b64encode(byte * 32) + b"\n")
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def issuing(blocks="", settings="", listen="", script=A_TEST, before=None, **world):
    """mtad with a secret and both places for answers; w.web: the port of the unsubscribe listener."""
    def prepare(w):
        w.web = free_port()
        w.settings = w.settings.replace("{ d, b, t, r }", "{ d, b, t, u }")
        w.settings += (f'token-secret-file = "{secret(w)}"\nreturn-path-domain = bounces.sender.test\n'
                       'unsubscribe-url = https://www.sender.test/u/\n'
                       'unsubscribe-mailto = unsubscribe@bounces.sender.test\n')
        w.blocks += f'listen web {{ kind = unsubscribe  address = "127.0.0.1:{w.web}"  {listen} }}\n'
        if before is not None:
            before(w)
    with running(script, blocks=blocks, settings=settings, before=prepare, **world) as w:
        yield w


def ask(w, method, target, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", w.web, timeout=20)
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.headers


def raw(w, data):
    with socket.create_connection(("127.0.0.1", w.web), timeout=20) as s:
        s.sendall(data)
        got = b""
        while more := s.recv(65536):
            got += more
    return got.decode()


def click(w, token, **options):
    return ask(w, "POST", f"/u/{token}", ONE_CLICK, FORM, **options)[0]


def unfolded(mail):
    return re.sub(rb"\r?\n[ \t]", b" ", mail.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in mail else mail.partition(b"\n\n")[0]).decode()


def link(mail):
    """The token of a mail's header, which has both ways and says so."""
    field = re.search(r"(?m)^List-Unsubscribe: <https://www\.sender\.test/u/([a-z2-7]{40})>, "
                      r"<mailto:unsubscribe\+([a-z2-7]{40})@bounces\.sender\.test\?subject=unsubscribe>", unfolded(mail))
    assert field and field[1] == field[2], unfolded(mail)
    assert re.search(r"(?m)^List-Unsubscribe-Post: List-Unsubscribe=One-Click", unfolded(mail))
    return field[1]


def rows(w, type):
    return [r for r in w.rows() if r["type"] == type]


NEWS = 'stream news { jobs = { "news-*" }  return-path = verp  list-unsubscribe = yes }\n'


def test_each_recipient_has_a_return_path():
    with issuing(NEWS) as w:
        w.send("shop@x.test", [f"r{n}@a.test" for n in range(5)], headers="X-Job: news-1\r\n")
        w.send("shop@x.test", ["plain@a.test", "two@a.test"], headers="X-Job: orders\r\n")
        w.send("", ["null@a.test"], headers="X-Job: news-1\r\n")
        wait_for("all mail", lambda: len(rows(w, "d")) == 8)
        senders = {a["rcpt"]: a["from"] for a in w.arrived()}
        tokens = {VERP.fullmatch(senders[f"r{n}@a.test"])[1] for n in range(5)}
        assert len(tokens) == 5
        assert senders["plain@a.test"] == senders["two@a.test"] == "shop@x.test"
        assert senders["null@a.test"] == "-"
        # Five recipients were five transactions; two that share a sender were one.
        assert len({(a["connection"], a["message"]) for a in w.arrived() if a["rcpt"].startswith("r")}) == 5
        assert len({(a["connection"], a["message"]) for a in w.arrived() if a["rcpt"] in ("plain@a.test", "two@a.test")}) == 1
        # The application's sender is what the records know.
        assert {r["orig"] for r in rows(w, "d")} == {"shop@x.test", ""}


def test_a_bounce_of_our_own_goes_to_the_application():
    script = ('site a { domains = { "a.test" }  rule { on = rcpt  match = "no*"  reply = "550 5.1.1 no such user" } }\n'
              'site x { domains = { "x.test" } }\n')
    with issuing(NEWS, script=script) as w:
        w.send("shop@x.test", ["no@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the bounce mail", lambda: [a for a in w.arrived() if a["rcpt"] == "shop@x.test"])
        assert rows(w, "b")[0]["orig"] == "shop@x.test"


def test_the_header_is_ours_and_signed():
    def sign(w):
        w.block, w.name, w.record = dkim_key(w.dir)
        w.blocks += w.block
    with issuing(NEWS, before=sign) as w:
        w.send("shop@sender.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        w.send("shop@sender.test", ["a@a.test", "b@a.test"], headers="X-Job: news-1\r\n")
        w.send("shop@sender.test", ["own@a.test"], headers="X-Job: news-1\r\nList-Unsubscribe: <https://own.test/>\r\n")
        w.send("shop@sender.test", ["order@a.test"], headers="X-Job: order\r\n")
        wait_for("all mail", lambda: len(rows(w, "d")) == 5)
        by = {re.search(rb"(?m)^To: <(.*)@", m)[1].decode(): m for m in w.mails()}
        link(by["r"])
        assert "List-Unsubscribe" not in unfolded(by["a"]) and "List-Unsubscribe" not in unfolded(by["order"])
        assert unfolded(by["own"]).count("List-Unsubscribe: ") == 1 and "www.sender.test" not in unfolded(by["own"])
        assert len(re.findall(r" unsubscribe_left_out client=127.0.0.1 user= job=news-1 rcpts=2", w.log_text())) == 1
        signed = re.search(r"(?s)[ ;]h=([^;]*)", unfolded(by["r"]))[1].lower().replace(" ", "").split(":")
        assert "list-unsubscribe" in signed and "list-unsubscribe-post" in signed
        assert dkim_ok(by["r"].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"), {w.name: w.record})


def test_one_click():
    with issuing(NEWS) as w:
        w.send("shop@x.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: rows(w, "d"))
        token = link(w.mails()[0])
        # Who only looks changes nothing.
        for method in ("GET", "HEAD"):
            assert ask(w, method, f"/u/{token}")[0] == 200
        assert click(w, token) == 200
        wait_for("its record", lambda: rows(w, "u"))
        # Killed at once: it was on disk before the 200; and it counts once, however often it comes.
        w.kill()
        w.start()
        for _ in range(3):
            assert click(w, token.upper()) == 200
        w.stop()
        found = rows(w, "u")
        assert [(r["rcpt"], r["orig"], r["jobId"]) for r in found] == [("r@a.test", "shop@x.test", "news-1")]


def test_who_unsubscribed_gets_no_more_mail():
    with issuing(NEWS) as w:
        w.send("shop@x.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: rows(w, "d"))
        assert click(w, link(w.mails()[0])) == 200
        w.kill()
        w.start()
        with Talk(w.port) as t:
            t.hello()
            t.say("MAIL FROM:<shop@x.test>", "250")
            assert t.say("RCPT TO:<R@A.test>").startswith("550 5.7.1 The recipient is suppressed: its owner unsubscribed, ")
            t.say("RCPT TO:<other@a.test>", "250")
        entry, = w.ctl("suppress", "list", "--json")["rows"]
        assert (entry["address"], entry["scope"], entry["reason"]) == ("r@a.test", "global", "unsubscribe")


def test_one_click_survives_a_kill():
    with issuing(NEWS) as w:
        w.send("shop@x.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        w.send("shop@x.test", ["s@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: len(rows(w, "d")) == 2)
        for mail in w.mails():
            assert click(w, link(mail)) == 200
            w.kill()
            w.start()
        wait_for("both records", lambda: sorted(r["rcpt"] for r in rows(w, "u")) == ["r@a.test", "s@a.test"])


@pytest.mark.parametrize("type, body, status", [
    ("application/x-www-form-urlencoded", ONE_CLICK, 200),
    ("multipart/form-data; boundary=x", '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n', 200),
    (None, ONE_CLICK, 200),
    ("application/x-www-form-urlencoded", "", 400),
    ("application/x-www-form-urlencoded", "List-Unsubscribe=Two-Click", 400),
    ("text/plain", ONE_CLICK, 400),
    ("multipart/form-data; boundary=y", '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n', 400),
])
def test_forms(type, body, status):
    with issuing(NEWS) as w:
        w.send("shop@x.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: rows(w, "d"))
        assert ask(w, "POST", f"/u/{link(w.mails()[0])}", body, {"Content-Type": type} if type else {})[0] == status
        if status == 200:
            wait_for("the record", lambda: rows(w, "u"))
        else:
            w.stop()
            assert not rows(w, "u")


def test_forged_links_are_refused():
    with issuing(NEWS) as w:
        w.send("shop@x.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: rows(w, "d"))
        token, path = link(w.mails()[0]), VERP.fullmatch(w.arrived()[0]["from"])[1]
        wrong = [token[:i] + ("b" if token[i] == "a" else "a") + token[i + 1:] for i in range(0, 40, 4)]
        assert {click(w, t) for t in wrong} == {404}
        assert click(w, path) == 404  # of this recipient, and for bounces
        assert click(w, token[:39]) == click(w, "") == 404
        assert w.log_text().count(' unsubscribe_refused client=127.0.0.1 why="forged"') == 10
        assert w.log_text().count(' unsubscribe_refused client=127.0.0.1 why="of another kind"') == 1
        assert click(w, token) == 200
        # Who goes on guessing is not looked at.
        for t in wrong:
            click(w, t)
        assert click(w, token) == 429
        w.stop()
        assert len(rows(w, "u")) == 1


def test_secrets_change():
    with issuing(NEWS) as w:
        w.send("shop@x.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: rows(w, "d"))
        token = link(w.mails()[0])
        old = secret(w, "old", b"s")
        secret(w, "tokens", b"n")
        w.settings += f'token-secret-previous = "{old}"\n'
        w.write_config()
        assert "the token-secret is another" in w.ctl("reload")
        assert ask(w, "GET", f"/u/{token}")[0] == 200
        w.settings = w.settings.replace(f'token-secret-previous = "{old}"\n', "")
        w.write_config()
        w.ctl("reload")
        assert ask(w, "GET", f"/u/{token}")[0] == 404


def test_the_page():
    with issuing(NEWS) as w:
        w.send("shop@x.test", ["marie.curie@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: rows(w, "d"))
        token = link(w.mails()[0])
        for language, title in (("de-AT,de;q=0.9,en;q=0.8", "Abmelden"), ("fr", "Se désabonner"), ("xx", "Unsubscribe"),
                                ("es;q=0.5, en;q=0.4", "Cancelar la suscripción"), ("", "Unsubscribe")):
            status, page, headers = ask(w, "GET", f"/u/{token}", headers={"Accept-Language": language})
            assert (status, headers["Cache-Control"]) == (200, "no-store") and f"<h1>{title}</h1>" in page
            assert "m…@a.test" in page and "curie" not in page and "<script" not in page
        assert 'lang="es"' in ask(w, "GET", "/x", headers={"Accept-Language": "es"})[1]
        assert ask(w, "DELETE", f"/u/{token}")[0] == 405


def test_hostile_clients():
    with issuing(NEWS, listen="connections-max = 20") as w:
        assert raw(w, b"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n").startswith("HTTP/1.1 400 ")
        assert raw(w, b"GET /" + b"x" * 9000).startswith("HTTP/1.1 414 ")
        assert raw(w, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 2000).startswith("HTTP/1.1 431 ")
        assert raw(w, b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n").startswith("HTTP/1.1 413 ")
        assert raw(w, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").startswith("HTTP/1.1 501 ")
        assert raw(w, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx").startswith("HTTP/1.1 400 ")
        assert raw(w, b"GET / HTTP/2.0\r\n\r\n").startswith("HTTP/1.1 505 ")
        assert raw(w, b"\x16\x03\x01\x02\x00" + b"\0" * 9000).startswith("HTTP/1.1 4")
        crowd = [socket.create_connection(("127.0.0.1", w.web)) for _ in range(30)]
        time.sleep(0.3)
        closed = 0
        for s in crowd:
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                closed += s.recv(10) == b""
        assert 10 <= closed < 20  # 20 places, some of them perhaps still with those above
        w.send("shop@x.test", ["r@a.test"])  # the others have no part in it
        for s in crowd:
            s.close()

        def is_let_in():  # while the crowd is still counted, connections are closed
            with contextlib.suppress(OSError, http.client.HTTPException):
                return ask(w, "GET", "/")[0] == 404
        wait_for("room", is_let_in)
        # In the middle of a request at the stop: not waited for.
        half = socket.create_connection(("127.0.0.1", w.web))
        half.sendall(b"POST /u/")
        begun = time.monotonic()
        w.stop()
        assert time.monotonic() - begun < 10


def test_who_is_behind_a_web_server():
    with issuing(NEWS, listen='accept-rate = 2/h  proxies = { 127.0.0.0/8, 10.0.0.1 }') as w:
        def status(forwarded):
            return ask(w, "GET", "/", headers={"X-Forwarded-For": forwarded})[0]
        assert [status("192.0.2.1") for _ in range(3)] == [404, 404, 429]
        assert status("192.0.2.2, 10.0.0.1") == 404
        assert status("192.0.2.9, 192.0.2.1, 10.0.0.1") == 429  # what the client wrote itself does not count
        w.blocks = w.blocks.replace("127.0.0.0/8, ", "")
        w.write_config()
        w.ctl("reload")
        assert [status(f"192.0.2.{n}") for n in range(100, 103)] == [404, 404, 429]


def test_mtactl_tells_whose_a_token_is():
    with issuing(NEWS) as w:
        w.send("shop@x.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: rows(w, "d"))
        path, token = w.arrived()[0]["from"], link(w.mails()[0])
        said = w.ctl("token", path)
        assert re.search(r"(?m)^return-path, good\naccepted  .*\nuntil     .*\nrecipient r@a.test\nmessage   1/0$", said), said
        assert re.search(r"(?m)^sender    shop@x.test\njob       news-1\ncame back nothing yet$", said), said
        assert click(w, token) == 200
        told = w.ctl("token", f"https://www.sender.test/u/{token}", "--json")["summary"]
        assert (told["kind"], told["verdict"], told["rcpt"], told["came"]) == ("unsubscribe", "good", "r@a.test", ["unsubscribe"])
        assert "\ncame back unsubscribe; each counts once\n" in w.ctl("token", path)  # of the recipient, by whichever token
        forged = w.ctl("token", path.replace("+", "+aaaa", 1)[:-4], check=False)
        assert forged.returncode == 1 and "there is no token" in forged.stdout + forged.stderr
        forged = w.ctl("token", ("a" if token[0] != "a" else "b") + token[1:], check=False)
        assert forged.returncode == 1 and "forged" in forged.stdout + forged.stderr
        assert re.search(r"(?m)^accepted +(now|.* ago\))$", said) and re.search(r"(?m)^until .* \(in (59|60)d", said), said


def test_a_disk_that_fails_says_try_again():
    with issuing(NEWS, disk=True) as w:
        w.send("shop@x.test", ["r@a.test"], headers="X-Job: news-1\r\n")
        wait_for("the mail", lambda: rows(w, "d"))
        token = link(w.mails()[0])
        w.disk.becomes("full")
        assert click(w, token) == 503
        w.disk.becomes("well")
        wait_for("the disk", lambda: click(w, token) == 200)
        wait_for("its record", lambda: rows(w, "u"))
