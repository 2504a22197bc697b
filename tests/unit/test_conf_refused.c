/* SPDX-License-Identifier: Apache-2.0 */
/* conf: what is refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf_fixture.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *text, *said; /* said NULL: accepted without a word */
} cases[] = {
	{"nothing to say", HOST, NULL},
	/* words (G1, G2) */
	{"typo at the top", HOST "io-threds = 3",
		"mtad.conf:2: unknown setting \"io-threds\" at the top level; did you mean "
		"\"io-threads\"?\n"},
	{"typo in a block", HOST "domain a.example {\n\n retyr = 5m }",
		"mtad.conf:4: unknown setting \"retyr\" in domain; did you mean \"retry\"?\n"},
	{"underscore", HOST "io_threads = 3", "did you mean \"io-threads\"?"},
	{"typo of a block", HOST "domian a.example { expire = 1d }", "did you mean \"domain\"?"},
	{"the wrong block", HOST "listen x { address = 127.0.0.1:25 retry = 5m }",
		"mtad.conf:2: \"retry\" does not belong in listen; it belongs in domain, provider "
		"and rule\n"},
	{"a block's setting at the top", HOST "recipients-max = 5",
		"does not belong at the top level; it belongs in listen and user\n"},
	{"a global setting in a block", HOST "user x { hostname = a }",
		"does not belong in user; it belongs in the top level, outside of blocks\n"},
	{"nearest word is of another block", HOST "listen x { retri = 5m }",
		"did you mean \"retry\", which belongs in domain, provider and rule?\n"},
	{"no word near", HOST "zzzzzzzz = 1",
		"unknown setting \"zzzzzzzz\" at the top level; mtad.conf(5) has all settings\n"},
	{"the old name of accept-rate", HOST "user x { message-rate = 5/h }",
		"mtad.conf:2: unknown setting \"message-rate\" in user; did you mean \"accept-rate\" (what "
		"is "
		"taken in) or \"rate\" (what is sent)?\n"},
	{"libconfuse's own way to name a setting", HOST "domain a.example { }\n\"domain|expire\" = 1d",
		"mtad.conf:3: \"domain|expire\" is no name of a setting\n"},
	{"all errors of a block", HOST "domain a.example {\n retyr = 5m\n expirre = 1d\n idle = 5\n}",
		"mtad.conf:3: unknown setting \"retyr\" in domain; did you mean \"retry\"?\nmtad.conf:4: "
		"unknown setting \"expirre\" in domain; did you mean \"expire\"?\nmtad.conf:5: idle: \"5\" "
		"has no unit"},
	/* how recipients answer */
	{"a whole set",
		HOST "token-secret-file = secrets/tokens  token-secret-previous = secrets/tokens.old\n"
		     "return-path-domain = B.example  unsubscribe-url = https://x.example/u/\n"
		     "unsubscribe-mailto = u@B.example\n"
		     "stream s { return-path = verp  list-unsubscribe = yes }\n"
		     "listen web { kind = unsubscribe  address = 127.0.0.1:8025 }",
		NULL},
	{"a return path to nowhere",
		HOST "token-secret-file = secrets/tokens\nstream s {\n return-path = verp }",
		"mtad.conf:4: return-path = verp needs return-path-domain outside of blocks\n"},
	{"a return path nobody signs",
		HOST
		"return-path-domain = b.example\npool p { sources = s  return-path = verp }\nsource s { }",
		"mtad.conf:3: return-path = verp needs token-secret-file outside of blocks\n"},
	{"links to nowhere",
		HOST "token-secret-file = secrets/tokens\nuser u { password-file = secrets/shop  "
		     "list-unsubscribe = yes }",
		"mtad.conf:3: list-unsubscribe = yes needs unsubscribe-url outside of blocks\n"},
	{"a short secret", HOST "token-secret-file = secrets/short",
		"a secret has at least 32 characters; run: head -c 32 "},
	{"the old secret alone", HOST "token-secret-previous = secrets/tokens",
		"mtad.conf:2: token-secret-previous without token-secret-file: there is nothing to sign "
		"with\n"},
	{"a domain that is none", HOST "return-path-domain = \"[192.0.2.1]\"",
		"mtad.conf:2: \"[192.0.2.1]\" is no domain\n"},
	{"a link in clear", HOST "unsubscribe-url = http://x.example/u/",
		"mtad.conf:2: \"http://x.example/u/\": write https://, your host and a path that ends in / "
		"or =, at "
		"most 400 characters\n"},
	{"a link without an end", HOST "unsubscribe-url = https://x.example/u",
		"write https://, your host and a path that ends"},
	{"a link with a comma", HOST "unsubscribe-url = \"https://x.example/u,v/\"",
		"write https://, your host and a path"},
	{"an address too long for a token", HOST "unsubscribe-mailto = abcdefghijklmnopqrstuvwx@x.example",
		"before the @ stand at most 23 letters, digits, hyphens and dots\n"},
	{"an address with a plus", HOST "unsubscribe-mailto = a+b@x.example",
		"before the @ stand at most 23 letters"},
	{"nobody can check the links", HOST "listen web {\n kind = unsubscribe  address = 127.0.0.1:8025 }",
		"mtad.conf:2: listen \"web\" takes unsubscriptions, but there is no token-secret-file to "
		"check them "
		"with\n"},
	{"STARTTLS of a browser",
		HOST "token-secret-file = secrets/tokens\nlisten web { kind = unsubscribe  address = "
		     "127.0.0.1:8025\n "
		     "tls = required  certificate = tls/mta1.pem  key = tls/mta1.key }",
		"mtad.conf:4: of an unsubscribe listener tls is none (behind a web server) or implicit\n"},
	{"a proxy that is no network", HOST "listen x { address = 127.0.0.1:25\n proxies = all }",
		"mtad.conf:3: "},
	/* limits */
	{"a rate at the top", HOST "recipient-rate = 5/s",
		"mtad.conf:2: \"recipient-rate\" does not belong at the top level; it belongs in user, "
		"stream, source, pool, domain and provider\n"},
	{"a rate of nothing", HOST "domain a.example {\n rate = 0/h }",
		"mtad.conf:3: rate: \"0/h\" would never send; to stop use `mtactl pause`, for no limit write "
		"{}\n"},
	{"bytes of nothing", HOST "byte-rate-total = 0",
		"mtad.conf:2: byte-rate-total: \"0\" would never send; to stop use `mtactl pause`, for no "
		"limit "
		"write {}\n"},
	{"taking in nothing", HOST "user u { password-file = secrets/shop\n accept-rate = 0/s }",
		"mtad.conf:3: accept-rate: \"0/s\" would accept nothing; leave the line out for no limit\n"},
	{"a window without unit", HOST "source s { rate = 100/10 }",
		"mtad.conf:2: rate: \"100/10\": the window has no unit; write 100/s or 300/10m (s, m, h, "
		"d)\n"},
	{"a window twice", HOST "source s { rate = { 100/h, 5/s, 200/60m } }",
		"mtad.conf:2: rate: \"200/60m\" is a second rate for one window; keep the smaller\n"},
	{"a window too long", HOST "domain * { site-rate = 5/32d }",
		"mtad.conf:2: site-rate: \"5/32d\": a window is from 1s to 31d\n"},
	{"a window too short", HOST "domain * { connect-rate = 5/500ms }",
		"mtad.conf:2: connect-rate: \"5/500ms\": a window is from 1s to 31d\n"},
	{"too many messages", HOST "domain * { rate = 1000000001/d }",
		"mtad.conf:2: rate: \"1000000001/d\" is too large; at most 1000000000\n"},
	{"too many bytes", HOST "domain * { byte-rate = 1000TB/d }",
		"mtad.conf:2: byte-rate: \"1000TB/d\" is too large; at most 909TB\n"},
	{"bytes without unit", HOST "domain * { byte-rate = 1000/d }",
		"mtad.conf:2: byte-rate: \"1000\" has no unit; write a size such as 50MB (B, KB, MB, GB, "
		"TB)\n"},
	{"too many rates", HOST "rate-total = { 1/s, 1/2s, 1/3s, 1/4s, 1/5s, 1/6s, 1/7s, 1/8s, 1/9s }",
		"mtad.conf:2: rate-total: 9 rates; at most 8 are possible\n"},
	{"a limit that is never reached",
		HOST "source s {\n rate = { 8640001/d, 100/s } }\nuser u { password-file = secrets/shop }",
		"mtad.conf:3: warning: rate: 8640001/d is never reached, as 100/s is less\n"},
	{"one that is reached", HOST "source s { rate = { 8640000/d, 100/s } }", NULL},
	{"windows that do not divide each other", HOST "domain * { rate = { 10/2m, 40/5m } }", NULL},
	{"and are never reached all the same", HOST "domain * { byte-rate = { 10MB/2m, 41MB/5m } }",
		"mtad.conf:2: warning: byte-rate: 41MB/5m is never reached, as 10MB/2m is less\n"},
	{"more than can be counted", HOST "byte-rate-total = { 900TB/s, 901TB/31d }", NULL},
	{"no connection to a site", HOST "domain * { connections = 0 }",
		"mtad.conf:2: connections: \"0\" is out of range: from 1 to 10000\n"},
	{"what counts", HOST "rates-count = messages",
		"mtad.conf:2: rates-count: \"messages\": write one of attempts/deliveries\n"},
	/* streams */
	{"a user that is not there",
		HOST "user shop { password-file = secrets/shop }\nstream s {\n users = shpo }",
		"mtad.conf:4: there is no user \"shpo\"; did you mean \"shop\"?\n"},
	{"a pattern of users", HOST "stream s { users = sh?p-* }", NULL},
	{"no class", HOST "stream s {\n classes = { bulk, slow } }",
		"mtad.conf:3: classes: \"slow\": write one of normal/urgent/bulk\n"},
	{"a user's class", HOST "user u { password-file = secrets/shop class = fast }",
		"mtad.conf:2: class: \"fast\": write one of normal/urgent/bulk\n"},
	{"weight 0 of a stream", HOST "stream s { weight = 0 }",
		"mtad.conf:2: weight: \"0\" is out of range: from 1 to 1000\n"},
	{"a user's weight", HOST "user u { password-file = secrets/shop weight = 1001 }",
		"mtad.conf:2: weight: \"1001\" is out of range: from 1 to 1000\n"},
	{"a stream twice", HOST "stream s { }\nstream s { }",
		"mtad.conf:3: stream \"s\" is there already, at mtad.conf:2\n"},
	{"a stream behind one for all mail",
		HOST "stream a { jobs = x }\nstream b { classes = { urgent, bulk, normal } }\nstream c { "
		     "jobs = y }",
		"mtad.conf:4: warning: stream \"c\" is not used: \"b\" before it fits all mail\n"},
	{"the one for all mail comes last", HOST "stream a { classes = { urgent, bulk } }\nstream b { }",
		NULL},
	{"all for urgent mail", HOST "domain * { urgent-share = 91 }",
		"mtad.conf:2: urgent-share: \"91\" is out of range: from 0 to 90\n"},
	{"class header", HOST "class-headers = { \"X-Class:\" }",
		"\"X-Class:\" is no header field that can be removed; write it without the colon\n"},
	/* twice (G3) */
	{"setting twice", HOST "io-threads = 1\nio-threads = 1",
		"mtad.conf:3: \"io-threads\" is given twice, first at mtad.conf:2\n"},
	{"list twice", HOST "listen x {\naddress = 127.0.0.1:25\naddress = 127.0.0.1:26 }",
		"mtad.conf:4: \"address\" is given twice, first at mtad.conf:3\n"},
	{"block twice", HOST "domain a.example { }\ndomain A.example. { }",
		"mtad.conf:3: domain \"A.example.\" is there already, at mtad.conf:2\n"},
	{"star twice", HOST "domain * { }\ndomain \"*\" { }",
		"mtad.conf:3: domain \"*\" is there already, at mtad.conf:2\n"},
	{"key twice",
		HOST
		"dkim a.example { selector = s key = keys/k }\ndkim a.example { selector = s key = keys/k }",
		"mtad.conf:3: dkim \"a.example\" is there already, at mtad.conf:2\n"},
	{"two keys of a domain",
		HOST
		"dkim a.example { selector = s key = keys/k }\ndkim a.example { selector = t key = keys/k }",
		NULL},
	{"host of two providers",
		HOST "provider a { mx = *.a.example }\nprovider b { mx = { b.example, *.a.example } }",
		"mtad.conf:3: \"*.a.example\" is in provider \"a\" already\n"},
	{"domain of two routes",
		HOST "route a { domains = { * } hosts = h.example }\nroute b { domains = { \"*\" } hosts = "
		     "h.example }",
		"mtad.conf:3: \"*\" is in route \"a\" already\n"},
	{"address of two listeners",
		HOST "listen a { address = 127.0.0.1:25 }\nlisten b { address = 127.0.0.1:25 }",
		"mtad.conf:3: 127.0.0.1:25 is listened on already\n"},
	/* values (G4) */
	{"no unit", HOST "stop-timeout = 30",
		"mtad.conf:2: stop-timeout: \"30\" has no unit; write a time such as 5m (ms, s, m, h, d)\n"},
	{"negative", HOST "stop-timeout = -30s", "stop-timeout: \"-30s\" is negative; "},
	{"zero", HOST "connections-total = 0",
		"connections-total: \"0\" is out of range: from 1 to 100000\n"},
	{"overflow", HOST "domain * { expire = 99999999999d }", "expire: \"99999999999d\" is too large\n"},
	{"below the range", HOST "memory-max = 1MB", "out of range: from 16MB to 1TB\n"},
	{"choice", HOST "log-level = loud", "log-level: \"loud\": write one of error/warn/info/debug\n"},
	{"bool", HOST "listen a { address = 127.0.0.1:25 show-client = true }",
		"show-client: \"true\": write yes or no\n"},
	{"list for one value", HOST "log-level = { info, warn }", "log-level: takes one value, not a list\n"},
	{"empty list of times", HOST "domain * { retry = {} }", "retry: give from 1 to 100 times"},
	{"zero wait", HOST "domain * { retry = { 0s } }", "out of range: from 1s to 7d\n"},
	{"none for a path that must be", HOST "spool-dir = none", "spool-dir: none is not offered here"},
	{"none for a path that may be", HOST "accounting-file = none", NULL},
	/* warm-up */
	{"warmup block", HOST "source a { warmup = w }\nwarmup w { volumes = { 1, 3, 9, 9 } }", NULL},
	{"built-in curve", HOST "source a { warmup = brisk warmup-start = 2026-11-01 }", NULL},
	{"limits for a built-in curve",
		HOST "source a { warmup = steady }\nwarmup steady { hold-bounced = 3% }", NULL},
	{"unknown curve", HOST "source a {\n warmup = stedy }",
		"mtad.conf:3: there is no curve \"stedy\"; did you mean \"steady\"?\n"},
	{"unknown curve near a block", HOST "source a { warmup = slwo }\nwarmup slow { volumes = 1 }",
		"mtad.conf:2: there is no curve \"slwo\"; did you mean \"slow\"?\n"},
	{"curve near nothing", HOST "source a { warmup = yes }",
		"mtad.conf:2: there is no curve \"yes\"; write gentle, steady, brisk or the name of a warmup "
		"block\n"},
	{"no day", HOST "source a { warmup = brisk\nwarmup-start = 1.11.2026 }",
		"mtad.conf:3: warmup-start: \"1.11.2026\" is no day; write 2026-11-01\n"},
	{"a day that is not in the calendar", HOST "source a { warmup = brisk warmup-start = 2026-02-30 }",
		"\"2026-02-30\" is no day"},
	{"a short day", HOST "source a { warmup = brisk warmup-start = 2026-2-3 }", "\"2026-2-3\" is no day"},
	{"start of nothing", HOST "source a { warmup-start = 2026-11-01 }",
		"mtad.conf:2: warning: warmup-start does nothing without warmup\n"},
	{"sender that warms up", HOST "sender example.com { warmup = brisk }\nsender a.example.com { }",
		NULL},
	{"sender with an unknown curve", HOST "sender example.com {\n warmup = brsk }",
		"mtad.conf:3: there is no curve \"brsk\"; did you mean \"brisk\"?\n"},
	{"sender that is a pattern", HOST "sender *.example.com { warmup = brisk }",
		"mtad.conf:2: \"*.example.com\" is no domain: sender example.com { } is about example.com "
		"and its "
		"subdomains\n"},
	{"sender that is an address", HOST "sender a@example.com { warmup = brisk }", "is no domain"},
	{"sender in two spellings", HOST "sender example.com { warmup = brisk }\nsender EXAMPLE.com { }",
		"mtad.conf:3: sender \"EXAMPLE.com\" is there already, at mtad.conf:2\n"},
	{"source like a sender", HOST "source @example.com { }",
		"\"@example.com\" is no name for a source: with an @ begins that of a sender's domain\n"},
	{"curve that shrinks", HOST "source a { warmup = w }\nwarmup w {\nvolumes = { 200, 500, 499 } }",
		"mtad.conf:4: volumes shrink from 500 to 499; each is at least the one before it\n"},
	{"curve that jumps", HOST "source a { warmup = w }\nwarmup w {\nvolumes = { 200, 600, 1801 } }",
		"mtad.conf:4: warning: from 600 to 1801 is more than three times as much in one step; sites "
		"may block the "
		"address\n"},
	{"curve of nothing", HOST "source a { warmup = w }\nwarmup w { volumes = {} }",
		"mtad.conf:3: volumes: give from 1 to 100 numbers: { 200, 500, 1000 }\n"},
	{"curve without volumes", HOST "source a { warmup = w }\nwarmup w { }",
		"mtad.conf:3: warmup \"w\" has no volumes: volumes = { 200, 500, 1000 }\n"},
	{"curve with a nought", HOST "source a { warmup = w }\nwarmup w { volumes = { 0, 5 } }",
		"mtad.conf:3: volumes: \"0\" is out of range: from 1 to 1000000000\n"},
	{"curve with a word", HOST "source a { warmup = w }\nwarmup w { volumes = { 5, 1k } }",
		"mtad.conf:3: volumes: \"1k\": a whole number stands here, without unit or fraction\n"},
	{"curve for nobody", HOST "warmup w { volumes = 5 }",
		"mtad.conf:2: warning: warmup \"w\" is not used\n"},
	{"two curves of a name",
		HOST "source a { warmup = w }\nwarmup w { volumes = 5 }\nwarmup w { volumes = 5 }",
		"mtad.conf:4: warmup \"w\" is there already, at mtad.conf:3\n"},
	{"percent without a sign", HOST "source a { warmup = brisk }\nwarmup brisk { hold-blocked = 5 }",
		"mtad.conf:3: hold-blocked: \"5\" is no percentage; write 5% or 0.1%\n"},
	{"too many digits", HOST "source a { warmup = brisk }\nwarmup brisk { hold-blocked = 0.00001% }",
		"\"0.00001%\" is no percentage"},
	{"percent below the range", HOST "source a { warmup = brisk }\nwarmup brisk { hold-blocked = 0% }",
		"hold-blocked: \"0%\" is out of range: from 0.01% to 100%\n"},
	{"percent above the range",
		HOST "source a { warmup = brisk }\nwarmup brisk { hold-blocked = 100.5% }",
		"hold-blocked: \"100.5%\" is out of range"},
	/* guards */
	{"guard of all", HOST "guard * { bounce-warn = 2% bounce-slow = 2.5% window = 2d }", NULL},
	{"guard of nobody", HOST "guard shop { }",
		"mtad.conf:2: there is no user \"shop\"; guard * is for all mail\n"},
	{"guard twice", HOST "guard * { }\nguard * { }",
		"mtad.conf:3: guard \"*\" is there already, at mtad.conf:2\n"},
	{"guard of a bad name", HOST "guard *.example { }", "\"*.example\" is no name for a guard: "},
	{"warn above slow", HOST "guard * {\n bounce-warn = 8%\n}",
		"mtad.conf:3: bounce-warn = 8% is above bounce-slow = 7%\n"},
	{"slow above stop", HOST "guard * {\n complaint-stop = 0.15%\n}",
		"mtad.conf:3: complaint-slow = 0.2% is above complaint-stop = 0.15%\n"},
	{"warn of one above slow of all",
		HOST
		"user shop { password-file = secrets/shop }\nguard * { bounce-warn = 1% bounce-slow = 2% }\n"
		"guard shop { bounce-warn = 3% }",
		"mtad.conf:4: bounce-warn = 3% is above bounce-slow = 2%\n"},
	{"no percent", HOST "guard * { bounce-stop = 10 }",
		"bounce-stop: \"10\" is no percentage; write 5% or 0.1%\n"},
	{"five digits behind the point", HOST "guard * { bounce-stop = 9.12345% }",
		"bounce-stop: \"9.12345%\" is no percentage; write 5% or 0.1%\n"},
	{"a point and no digit", HOST "guard * { bounce-stop = 9.% }", "\"9.%\" is no percentage; "},
	{"two percent", HOST "guard * { bounce-stop = 9%% }", "\"9%%\" is no percentage; "},
	{"percent by words", HOST "guard * { bounce-stop = ten% }",
		"\"ten%\" is no number; write a percentage such as"},
	{"zero percent", HOST "guard * { bounce-warn = 0% }",
		"bounce-warn: \"0%\" is out of range: from 0.0001% to 100%\n"},
	{"all and more", HOST "guard * { bounce-stop = 100.0001% }", "out of range: from 0.0001% to 100%\n"},
	{"percent that is too large", HOST "guard * { bounce-stop = 9223372036854775807% }",
		"\"9223372036854775807%\" is too large\n"},
	/* quiet hours */
	{"quiet at night", HOST "domain *.de { quiet-hours = \"22:00-07:00 Europe/Berlin\" }", NULL},
	{"quiet without a zone", HOST "domain * { quiet-hours = \"22:00-07:00\" }",
		"mtad.conf:2: \"22:00-07:00\" has no time zone; write 22:00-07:00 Europe/Berlin or Sat,Sun "
		"00:00-24:00 UTC\n"},
	{"quiet in no known zone", HOST "domain * { quiet-hours = \"22:00-07:00 Europe/Berlim\" }",
		"mtad.conf:2: there is no time zone \"Europe/Berlim\"; did you mean \"Europe/Berlin\"?\n"},
	{"quiet nowhere", HOST "domain * { quiet-hours = \"22:00-07:00 Middle/Earth\" }",
		"there is no time zone \"Middle/Earth\"; tzdata has them in /usr/share/zoneinfo\n"},
	{"quiet in a file of ours", HOST "domain * { quiet-hours = \"22:00-07:00 ../../../etc/hosts\" }",
		"there is no time zone \"../../../etc/hosts\"; "},
	{"quiet in what is no zone", HOST "domain * { quiet-hours = \"22:00-07:00 tzdata/zi\" }",
		"there is no time zone \"tzdata/zi\"; "},
	{"quiet in a folder", HOST "domain * { quiet-hours = \"22:00-07:00 Europe\" }",
		"there is no time zone \"Europe\"; "},
	{"quiet never", HOST "domain * { quiet-hours = \"22:00-22:00 UTC\" }",
		"\"22:00-22:00 UTC\" is empty; all day is 00:00-24:00\n"},
	{"quiet from midnight to midnight", HOST "domain * { quiet-hours = \"00:00-00:00 UTC\" }",
		"is empty; "},
	{"quiet always", HOST "provider p { mx = a.example quiet-hours = \"00:00-24:00 UTC\" }",
		"mtad.conf:2: with these quiet-hours there is no time left to send\n"},
	{"quiet always, in pieces",
		HOST "domain * { quiet-hours = { \"22:00-08:00 UTC\", \"08:00-20:00 UTC\",\n"
		     "\"12:00-23:00 Europe/Lisbon\" } }",
		"there is no time left to send\n"},
	{"quiet but for a minute",
		HOST "domain * { quiet-hours = { \"Mon-Sat 00:00-24:00 UTC\", \"Sun 00:01-24:00 UTC\" } }",
		NULL},
	{"hour that is none", HOST "domain * { quiet-hours = \"22:00-25:00 UTC\" }",
		"\"22:00-25:00 UTC\" is no time of the week; write 22:00-07:00 Europe/Berlin or Sat,Sun "
		"00:00-24:00 "
		"UTC\n"},
	{"minute that is none", HOST "domain * { quiet-hours = \"22:60-23:00 UTC\" }",
		"is no time of the week; "},
	{"from 24:00", HOST "domain * { quiet-hours = \"24:00-07:00 UTC\" }", "is no time of the week; "},
	{"24:01", HOST "domain * { quiet-hours = \"22:00-24:01 UTC\" }", "is no time of the week; "},
	{"hours without minutes", HOST "domain * { quiet-hours = \"22-07 UTC\" }",
		"is no time of the week; "},
	{"day that is none", HOST "domain * { quiet-hours = \"Sam 22:00-07:00 UTC\" }",
		"is no time of the week; "},
	{"list of days that goes on", HOST "domain * { quiet-hours = \"Sat, 22:00-07:00 UTC\" }",
		"is no time of the week; "},
	{"days alone", HOST "domain * { quiet-hours = \"Sat,Sun UTC\" }", "is no time of the week; "},
	{"words behind", HOST "domain * { quiet-hours = \"22:00-07:00 UTC daily\" }",
		"is no time of the week; "},
	{"no quiet hours here", HOST "domain a.example { quiet-hours = {} }", NULL},
	/* syntax */
	{"list without braces", HOST "domain a.example { retry = 5m, 15m }",
		"mtad.conf:2: a list stands in braces: retry = { a, b }\n"},
	{"list without commas", HOST "dns-servers = { ::1 ::2 }",
		"mtad.conf:2: \"::2\" is not expected here; words of a list need a comma between them\n"},
	{"no equals sign", HOST "io-threads 3\nlog-level = info",
		"mtad.conf:2: \"io-threads\" needs a \"=\": io-threads = VALUE\n"},
	{"no name", HOST "pool { }", "mtad.conf:2: \"pool\" needs a name: pool NAME { ... }\n"},
	{"name with blanks", HOST "pool a b { }",
		"mtad.conf:2: \"{\" is missing: pool NAME { ... }; a name with blanks needs quotes\n"},
	{"semicolon", HOST "io-threads = 3;",
		"mtad.conf:2: settings do not end with \";\": write \"3\" without it\n"},
	{"brace not closed", HOST "\ndomain a.example {\n expire = 1d\n",
		"mtad.conf:3: the { on this line is not closed\n"},
	{"brace not opened", HOST "}", "mtad.conf:2: this } closes nothing\n"},
	{"brace missing between blocks", HOST "domain a.example {\n expire = 1d\ndomain b.example { }\n}",
		"mtad.conf:4: \"domain\" cannot stand inside domain; is a } missing above this line?\n"},
	{"too many braces", HOST "domain a { { { { { }}}}}", "mtad.conf:2: too many braces"},
	{"quote not closed", HOST "log-level = \"info\nio-threads = 1",
		"mtad.conf:2: the \" that begins a quoted text on this line is not closed\n"},
	{"escape", HOST "user a\\b { }\nuser \"a\\nb\" { }",
		"mtad.conf:3: in \"...\" a backslash stands before \" or \\ only"},
	{"comment not closed", HOST "/* x\n\n",
		"mtad.conf:2: the comment that begins here is not closed by */\n"},
	{"value missing", HOST "domain a.example { expire = }", "mtad.conf:2: \"expire =\" has no value\n"},
	{"end in the middle",
		HOST "io-threads =", "mtad.conf:2: the file ends in the middle of \"io-threads\"\n"},
	{"two equals signs", HOST "io-threads = = 3", "mtad.conf:2: \"io-threads\" has two =;"},
	{"parenthesis", HOST "io-threads = (3)", "mtad.conf:2: ( stands in include(\"FILE\") only"},
	{"include without brackets", HOST "include \"a\"\nlog-level = info",
		"mtad.conf:2: \"include\" needs brackets: include(\"FILE\")\n"},
	{"include of a pattern", HOST "include(\"inc/*.conf\")",
		"mtad.conf:2: include takes the name of one file, no pattern: \"inc/*.conf\"\n"},
	{"include with two files", HOST "include(\"a\" \"b\")", "mtad.conf:2: include takes one file"},
	{"comments of all kinds", HOST "# a\n// b\n/* c\n { */ io-threads = 1 # d\nlog-level = info // e",
		NULL},
	{"environment is not looked at", HOST "log-level = \"${HOME}\"",
		"log-level: \"${HOME}\": write one of"},
	{"CRLF and a byte order mark",
		"\xef\xbb\xbf"
		"hostname = mta1.example.com\r\ndomain * {\r\n expire = 1d\r\n}\r\n",
		NULL},
	/* references and contradictions (G3, G7) */
	{"unknown pool", HOST "listen a { address = 127.0.0.1:25 pool = p }",
		"mtad.conf:2: there is no pool \"p\"\n"},
	{"unknown source", HOST "pool p {\n sources = { s } }", "mtad.conf:3: there is no source \"s\"\n"},
	{"pool without source", HOST "pool p { }", "mtad.conf:2: pool \"p\" has no sources"},
	{"address not here", HOST "source a {\n address = { 127.0.0.1, 2001:db8::1 } }",
		"mtad.conf:3: warning: this machine has no address 2001:db8::1; mail from there waits\n"},
	{"a pool with a typing error",
		HOST "source a { }\npool marketing { sources = a }\ndomain * { pool = marketting }",
		"mtad.conf:4: there is no pool \"marketting\"; did you mean \"marketing\"?\n"},
	{"a provider's pool", HOST "provider p { mx = mx.example pool = q }",
		"mtad.conf:2: there is no pool \"q\"\n"},
	{"a domain's pool", HOST "domain a.example {\n pool = q }", "mtad.conf:3: there is no pool \"q\"\n"},
	{"a source with a typing error", HOST "source warm-1 { } pool p {\n sources = { warm1:3 } }",
		"mtad.conf:3: there is no source \"warm1\"; did you mean \"warm-1\"?\n"},
	{"a source twice", HOST "source a { } pool p {\n sources = { a, a:3 } }",
		"mtad.conf:3: source \"a\" is in this pool twice\n"},
	{"weight 0", HOST "source a { } pool p { sources = a:0 }",
		"mtad.conf:2: \"a:0\": a weight is a number from 1 to 1000\n"},
	{"weight too large", HOST "source a { } pool p { sources = a:1001 }",
		"mtad.conf:2: \"a:1001\": a weight is a number from 1 to 1000\n"},
	{"no weight behind the colon", HOST "source a { } pool p { sources = a: }",
		"mtad.conf:2: \"a:\": a weight is a number from 1 to 1000\n"},
	{"two weights", HOST "source a { } pool p { sources = a:1:2 }",
		"mtad.conf:2: \"a:1:2\": a weight is a number from 1 to 1000\n"},
	{"a source's name with a colon", HOST "source a:3 { }",
		"mtad.conf:2: \"a:3\" is no name for a source: behind a : stands its weight in a pool\n"},
	{"a pool's sender without @", HOST "source a { } pool p { sources = a senders = a.example }",
		"mtad.conf:2: \"a.example\" has no @; write user@example.com, or @example.com for all of a "
		"domain\n"},
	{"a pool's sender that is none", HOST "source a { } pool p { sources = a senders = @a..example }",
		"mtad.conf:2: \"@a..example\" is no mail address\n"},
	{"a sender of two pools",
		HOST "source a { } pool p { sources = a senders = @a.example }\npool q { sources = a\n "
		     "senders = { "
		     "b@a.example, @A.Example. } }",
		"mtad.conf:4: \"@a.example\" is in pool \"p\" already\n"},
	{"a sender twice",
		HOST "source a { } pool p { sources = a senders = { Me@a.example, me@a.example } }",
		"mtad.conf:2: \"me@a.example\" is in pool \"p\" already\n"},
	{"a pool used by its senders alone",
		HOST "pool-headers = {} source a { } pool p { sources = a senders = @a.example }", NULL},
	{"a pool used by a domain alone",
		HOST "pool-headers = {} source a { } pool p { sources = a } domain a.example { pool = p }",
		NULL},
	{"unused source", HOST "source a { address = 192.0.2.1 }\nsource b { address = 192.0.2.2 }",
		"mtad.conf:3: warning: source \"b\" is in no pool and so is not used\n"},
	{"unused pool", HOST "pool-headers = {} source a { } pool p { sources = a }",
		"mtad.conf:2: warning: pool \"p\" is not used\n"},
	{"no address", HOST "listen a { }", "mtad.conf:2: listen \"a\" has no address"},
	{"log-in without users",
		HOST "listen a {\n address = 127.0.0.1:25 auth = required auth-in-clear = yes }",
		"mtad.conf:3: auth = required, but there is no user block: nobody could send\n"},
	{"log-in without TLS",
		HOST
		"user shop { password-file = secrets/shop }\nlisten a { address = *:25 auth = required }",
		"mtad.conf:3: auth = required, but log-in is only offered under TLS"},
	{"log-in in clear",
		HOST
		"user shop { password-file = secrets/shop }\nlisten a { address = *:25 auth-in-clear = yes }",
		"mtad.conf:3: auth-in-clear would show passwords to the network at *:25"},
	{"nobody could send", HOST "listen a { address = 127.0.0.1:25 networks = {} auth = none }",
		"mtad.conf:2: auth = none and no networks: nobody could send\n"},
	{"TLS without certificate", HOST "listen a { address = 127.0.0.1:25 tls = implicit }",
		"mtad.conf:2: tls = implicit needs certificate and key\n"},
	{"certificate without key", HOST "listen a { address = 127.0.0.1:25 certificate = tls/mta1.pem }",
		"mtad.conf:2: certificate without key: key = FILE\n"},
	{"verify without authorities", HOST "tls-ca-file = nix.pem\ndomain a.example { tls = verify }",
		"mtad.conf:3: nix.pem cannot be opened: No such file or directory\n"},
	{"sender without @", HOST "user shop { password-file = secrets/shop senders = { example.com } }",
		"mtad.conf:2: \"example.com\" has no @; write user@example.com, or @example.com for all of a "
		"domain\n"},
	{"provider of nothing", HOST "provider p { }",
		"mtad.conf:2: provider \"p\" has neither mx nor domains"},
	{"route to nowhere", HOST "route r { domains = { * } }", "mtad.conf:2: route \"r\" has no hosts"},
	{"route for nobody", HOST "route r { hosts = h.example }", "mtad.conf:2: route \"r\" has no domains"},
	{"route to a wrong port", HOST "route r { domains = { * } hosts = { h.example:0 } }",
		"mtad.conf:2: \"h.example:0\": a port is a number from 1 to 65535\n"},
	{"TLS from the first byte at a route", HOST "route r {\n domains = { * } hosts = h.example:465 }",
		"mtad.conf:3: warning: port 465 wants TLS from the first byte"},
	{"log-in at a route without TLS",
		HOST "route r { domains = { * } hosts = h.example user = u password-file = secrets/smarthost "
		     "tls = may }",
		"warning: the password may go over the network in clear"},
	{"second address of a family", HOST "source s { address = { 192.0.2.1, 192.0.2.2 } }",
		"mtad.conf:2: a second IPv4 address; make another source of it\n"},
	{"no domain", HOST "domain a..example { }",
		"mtad.conf:2: \"a..example\" is no domain; write example.com, *.example.com or *\n"},
	{"expiry before retry", HOST "domain * { expire = 1m }",
		"warning: mail expires before its second attempt"},
	{"header with colon", HOST "remove-headers = { \"Bcc:\" }",
		"\"Bcc:\" is no header field that can be removed; write it without the colon\n"},
	{"account", HOST "run-as = no-such-account",
		"mtad.conf:2: there is no account \"no-such-account\"\n"},
	{"record", HOST "accounting-records = { d, x }", "mtad.conf:2: \"x\" is no record"},
	/* consumers of events */
	{"a column", HOST "accounting a { path = /tmp/a fields = { type, bouncecat } }",
		"mtad.conf:2: there is no column \"bouncecat\"; did you mean \"bounceCat\"?\n"},
	{"a column of no header", HOST "accounting a { path = /tmp/a fields = { \"header_X:\" } }",
		"mtad.conf:2: \"X:\" is no header field\n"},
	{"an accounting file without a path", HOST "accounting a { format = json }",
		"mtad.conf:2: accounting \"a\" has no path: path = FILE\n"},
	{"a path that is taken", HOST "accounting-file = /tmp/a\naccounting a { path = /tmp/a }",
		"mtad.conf:3: /tmp/a is an accounting file already; each needs a file of its own\n"},
	{"columns of JSON", HOST "accounting a { path = /tmp/a format = json fields = { type } }",
		"mtad.conf:2: JSON records have all fields; header fields are kept by accounting-headers\n"},
	{"columns of a pipe that gets JSON", HOST "pipe a { command = x fields = { type } }",
		"mtad.conf:2: JSON records have all fields; header fields are kept by accounting-headers\n"},
	{"a column of a pipe", HOST "pipe a { command = x format = csv fields = { typ } }",
		"mtad.conf:2: there is no column \"typ\"; did you mean \"type\"?\n"},
	{"a text in no column", HOST "accounting a { path = /tmp/a user-string = x fields = { type } }",
		"mtad.conf:2: user-string stands in no column: format = csv, and userString in fields\n"},
	{"a class", HOST "accounting a { path = /tmp/a bounce-classes = { bad-mailbx } }",
		"mtad.conf:2: \"bad-mailbx\" is neither a bounce class nor a group of them; did you mean "
		"\"bad-mailbox\"?\n"},
	{"classes and groups", HOST "accounting a { path = /tmp/a bounce-classes = { bad-mailbox, block } }",
		NULL},
	{"a record of a block", HOST "pipe a { command = x records = { d, q } }",
		"mtad.conf:2: \"q\" is no record; there are d, b, t, r, rb, f and u\n"},
	{"a user of a block", HOST "pipe a { command = x users = { nobody } }",
		"mtad.conf:2: there is no user \"nobody\"\n"},
	{"a webhook without a url", HOST "webhook a { batch = 5 }",
		"mtad.conf:2: webhook \"a\" has no url: url = https://...\n"},
	{"in clear", HOST "webhook a { url = \"http://shop.example/x\" }",
		"mtad.conf:2: \"http://shop.example/x\" would send addresses in clear: write https://, or a "
		"loopback address\n"},
	{"in clear, by a name that begins well", HOST "webhook a { url = \"http://127.0.0.1.example/\" }",
		"would send addresses in clear"},
	{"in clear, behind a user", HOST "webhook a { url = \"http://localhost@shop.example/\" }",
		"is no url: up to 2000 printable characters, no user and password\n"},
	{"in clear at home", HOST "webhook a { url = \"http://127.1.2.3:80/x\" }", NULL},
	{"in clear at home, IPv6", HOST "webhook a { url = \"http://[::1]:80/x\" }", NULL},
	{"a url of no host", HOST "webhook a { url = \"https:///x\" }",
		"mtad.conf:2: \"https:///x\" names no host\n"},
	{"a pipe without a command", HOST "pipe a { batch = 5 }",
		"mtad.conf:2: pipe \"a\" has no command: command = \"PROGRAM ...\"\n"},
	{"one name for two", HOST "webhook a { url = \"http://[::1]/\" }\npipe a { command = x }",
		"mtad.conf:3: there is a webhook \"a\" already, at mtad.conf:2\n"},
	{"a name with a slash", HOST "pipe a/b { command = x }",
		"mtad.conf:2: pipe \"a/b\": a name has no slash: a file is called after it\n"},
	{"one path twice", HOST "accounting-file = /tmp/a\naccounting-json = /tmp/a",
		"mtad.conf:3: this is the path of accounting-file"},
	{"resolver", HOST "dns-servers = { localhost }", "mtad.conf:2: \"localhost\" is no resolver"},
	{"short host name", "hostname = mta1", "mtad.conf:1: warning: \"mta1\" is no full host name"},
	/* open relay (G14) */
	{"the world", HOST "listen a {\n address = *:25\n networks = { 0.0.0.0/0 } }",
		"mtad.conf:4: 0.0.0.0/0 would let strangers send mail without a password (an open relay)"},
	{"the world, IPv6", HOST "listen a { address = *:25 networks = { ::/0 } }", "(an open relay)"},
	{"the world, mapped", HOST "listen a { address = *:25 networks = { ::ffff:0:0/96 } }",
		"(an open relay)"},
	{"more than private", HOST "listen a { address = *:25 networks = { 10.0.0.0/7 } }",
		"(an open relay)"},
	{"a public /23", HOST "listen a { address = *:25 networks = { 192.0.2.0/23 } }", "(an open relay)"},
	{"a public /24", HOST "listen a { address = *:25 networks = { 192.0.2.0/24 } }", NULL},
	{"a public /47", HOST "listen a { address = *:25 networks = { 2001:db8::/47 } }", "(an open relay)"},
	{"a public /48", HOST "listen a { address = *:25 networks = { 2001:db8::/48 } }", NULL},
	{"private ranges",
		HOST "listen a { address = *:25 networks = { 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, "
		     "169.254.0.0/16, fc00::/7, fe80::/10 } }",
		NULL},
	{"the world with a password",
		HOST "user shop { password-file = secrets/shop }\nlisten a { address = *:25 networks = { "
		     "0.0.0.0/0 } auth = required certificate = tls/mta1.pem key = tls/mta1.key }",
		NULL},
	/* secrets (G15) */
	{"password for all", HOST "user u { password-file = bad/open }",
		"mtad.conf:2: bad/open can be read by others (mode 0640); run: chmod 600 bad/open\n"},
	{"key for all", HOST "dkim a.example { selector = s key = bad/open }",
		"mtad.conf:2: bad/open can be read by others"},
	{"TLS key for all",
		HOST "listen a { address = 127.0.0.1:25 certificate = tls/mta1.pem key = bad/open }",
		"can be read by others"},
	{"argon2", HOST "user u { password-file = bad/argon2 }",
		"mtad.conf:2: bad/argon2: argon2 hashes cannot be checked by crypt(3); make a yescrypt hash "
		"with `mtactl passwd`\n"},
	{"MD5", HOST "user u { password-file = bad/md5 }", "this kind of hash is too weak"},
	{"a plain password", HOST "user u { password-file = bad/plain }",
		"the first line is no crypt(3) hash ($y$, $2b$, $6$)"},
	{"half a hash", HOST "user u { password-file = bad/half }", "mtad.conf:2: bad/half: "},
	{"empty file", HOST "user u { password-file = bad/empty }",
		"mtad.conf:2: bad/empty: its first line is empty\n"},
	{"no file", HOST "user u { password-file = bad/nix }",
		"mtad.conf:2: bad/nix cannot be opened: No such file or directory\n"},
	{"a user with a slash", HOST "user a/b { password-file = secrets/shop }",
		"mtad.conf:2: user \"a/b\": a name has no slash, which stands between user and job\n"},
	{"a long user",
		HOST
		"user a123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
		"567890123456789012345678901234567890123456789 { password-file = secrets/shop }",
		"mtad.conf:2: user \"a12345678901234567890123456789012345678901234567890123456789...\": a "
		"name has at "
		"most 128 bytes\n"},
	{"no password-file", HOST "user u { }", "mtad.conf:2: user \"u\" has no password-file\n"},
	/* includes (G5) */
	{"missing include", HOST "include(\"inc/nix.conf\")",
		"inc/nix.conf: cannot be opened: No such file or directory\nmtad.conf:2:   ... "
		"\"inc/nix.conf\" is included here\n"},
	{"include of a folder", HOST "include(inc)", "inc: is a folder, not a file\n"},
	{"include loop", HOST "include(\"inc/a.conf\")",
		"inc/b.conf:1: \"inc/a.conf\" includes itself\ninc/a.conf:1:   ... \"inc/b.conf\" is "
		"included here\nmtad.conf:2:   ... \"inc/a.conf\" is included here\n"},
	{"include twice", HOST "include(\"inc/good.conf\")\ninclude(\"inc/../inc/good.conf\")",
		"mtad.conf:3: \"inc/../inc/good.conf\" is included a second time\n"},
	{"include with paths of its own", HOST "include(\"inc/good.conf\")", NULL},
	{"setting twice over an include", HOST "log-level = info\ninclude(\"inc/good.conf\")",
		"inc/good.conf:1: \"log-level\" is given twice, first at mtad.conf:2\n"},
	{"include in a block", HOST "domain a.example { include(\"x\") }",
		"mtad.conf:2: \"include\" cannot stand inside domain"},
};

static void
put_bad_files(const struct folder *f)
{
	put_text(f, "bad/open", HASH, 0640);
	put_text(f, "bad/argon2", "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub\n", 0600);
	put_text(f, "bad/md5", "$1$abcdefgh$G//4keteveJp0qb8z2DxG/\n", 0600);
	put_text(f, "bad/plain", "hunter2\n", 0600);
	put_text(f, "bad/half", "$y$j9T$F5Jx\n", 0600);
	put_text(f, "bad/empty", "\n", 0600);
	put_text(f, "inc/a.conf", "include(b.conf)", 0600);
	put_text(f, "inc/b.conf", "include(a.conf)", 0600);
	put_text(f, "inc/good.conf", "log-level = debug\ndkim inc.example { selector = s key = ../keys/k }\n",
		0600);
	put_text(f, "secrets/short", "0123456789abcdef0123456789abcde\n", 0600);
}

static void
test_cases(void **state)
{
	put_secrets(*state, "");
	put_bad_files(*state);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *said;
		const struct conf *c = load_bytes(*state, cases[i].text, text_len(cases[i].text), &said);
		const char *want = cases[i].said != NULL ? cases[i].said : "";
		bool is_warning = strstr(want, "warning: ") != NULL;

		if (cases[i].said == NULL ? said[0] != '\0' : strstr(said, want) == NULL)
			fail_msg("%s: said\n%s, not\n%s", cases[i].name, said, want);
		if ((c != NULL) != (cases[i].said == NULL || is_warning))
			fail_msg("%s: %s", cases[i].name, c != NULL ? "accepted" : "refused");
		conf_unref(c);
		free(said);
	}
}

/* G6: bytes that are no text. */
static void
test_bytes(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
		const char *said;
	} bytes[] = {
		{"NUL", "io-threads = 1\n\0\n", 17, "mtad.conf:2: control byte 0x00 in the text\n"},
		{"escape", "\n\n\033[1m", 6, "mtad.conf:3: control byte 0x1b in the text\n"},
		{"Latin-1", "# caf\xe9\n", 7, "mtad.conf:1: not UTF-8 text (byte 0xe9)\n"},
		{"overlong", "# \xc0\xaf\n", 5, "mtad.conf:1: not UTF-8"},
		{"surrogate", "# \xed\xa0\x80\n", 6, "mtad.conf:1: not UTF-8"},
		{"cut", "# \xe2\x82", 4, "mtad.conf:1: not UTF-8"},
		{"carriage return", "io-threads\r= 1\n", 15,
			"mtad.conf:1: a carriage return in the middle of the line\n"},
	};
	size_t long_len = (size_t)64 * 1024 * 1024 + 1;
	char *line = malloc(long_len), *said;

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		assert_null(load_bytes(*state, bytes[i].bytes, bytes[i].len, &said));
		if (strncmp(said, bytes[i].said, text_len(bytes[i].said)) != 0)
			fail_msg("%s: said %s", bytes[i].name, said);
		free(said);
	}
	assert_non_null(line);
	memset(line, 'x', long_len);
	line[0] = '#';
	assert_null(load_bytes(*state, line, 65537, &said));
	assert_string_equal(said, "mtad.conf:1: the line is longer than 64 KB; break it up\n");
	free(said);
	memset(line, '\n', long_len);
	assert_null(load_bytes(*state, line, long_len, &said));
	assert_string_equal(said, "mtad.conf: the file is larger than 64 MB\n");
	free(said);
	free(line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(test_cases),
		WITH_FOLDER(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
