#!/usr/bin/env python3
"""Plays the conformance scenarios and compares what they print with traces/<id>.trace.

  check.py --runner build/conformance                everything
  check.py --runner build/conformance gather-order   some
  check.py --runner build/conformance --area cancel
  check.py --list                                    ids, areas, needs, titles (traces/index.tsv)

The traces were printed by CPython 3.11's asyncio. A runner plays the scenario named by its last
argument, prints the trace and exits with 0, or with 64 where it does not know the id. The output is
compared byte by byte, and the run must have taken the time that its trace spans. Units of time are
CONF_UNIT_MS long: a scenario that fails is tried again with a longer unit, because on a busy machine
a t= can be late (by up to 3/4 of a unit without harm); a real mistake fails at every unit. What
passed only at a longer one is marked and counted.
"""
import argparse
import concurrent.futures
import difflib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TRACES = os.path.join(HERE, "traces")


def index():
    """{id: (area, needs, title)}"""
    with open(os.path.join(TRACES, "index.tsv"), encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f]
    return {row[0]: tuple(row[1:]) for row in rows}


def golden(sid):
    with open(os.path.join(TRACES, sid + ".trace"), encoding="utf-8") as f:
        return f.read()


class Servers:
    """Starts what the chosen scenarios need, stops it at the end."""

    def __init__(self, env):
        self.env = env
        self.procs = []
        self.tmp = None
        self.ports = {}
        self.lock = threading.Lock()

    def http(self, unit_ms):
        """The port of a server whose unit is unit_ms."""
        with self.lock:
            if unit_ms not in self.ports:
                p = subprocess.Popen(
                    [sys.executable, os.path.join(HERE, "http_server.py")],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    env=dict(self.env, CONF_UNIT_MS="%g" % unit_ms))
                self.procs.append(p)
                self.ports[unit_ms] = p.stdout.readline().decode().strip()
            return self.ports[unit_ms]

    def redis(self):
        exe = shutil.which("redis-server")
        if not exe:
            return False
        self.tmp = tempfile.mkdtemp(prefix="conf-redis-")
        sock = os.path.join(self.tmp, "s")
        p = subprocess.Popen(
            [exe, "--port", "0", "--unixsocket", sock, "--save", "", "--appendonly", "no",
             "--dir", self.tmp], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.procs.append(p)
        for line in p.stdout:  # its log; what follows the last of these lines fits into the pipe
            if b"ready to accept connections" in line.lower():
                break
        else:
            sys.exit("check.py: redis-server does not start")
        self.env["CONF_REDIS_SOCK"] = sock
        return True

    def keep_busy(self):
        """Another process that never sleeps."""
        self.procs.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))

    def stop(self):
        for p in self.procs:
            p.terminate()
        for p in self.procs:
            p.wait()
        if self.tmp:
            shutil.rmtree(self.tmp, ignore_errors=True)


def play(cmd, env, limit):
    t0 = time.monotonic()
    p = subprocess.Popen(cmd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    try:
        so, se = p.communicate(timeout=limit)
        rc = p.returncode
    except subprocess.TimeoutExpired:
        p.kill()
        so, se = p.communicate()
        rc = "timeout after %gs" % limit
    return rc, so.decode("utf-8", "replace"), se.decode("utf-8", "replace"), time.monotonic() - t0


def spanned(trace):
    """Units the trace takes; t= going down means that the clock was restarted."""
    total = last = 0
    for t in map(int, re.findall(r"^t=(\d+)", trace, re.M)):
        if t < last:
            total += last
        last = t
    return total + last


def verdict(sid, rc, got, wall, unit_s):
    want = golden(sid)
    if rc == 64:
        return "missing"
    if rc != 0:
        return "exit status %s" % rc
    if got != want:
        return "trace differs\n" + "".join(difflib.unified_diff(
            want.splitlines(True), got.splitlines(True), "golden", "got"))
    if wall < (spanned(want) - 0.5) * unit_s:
        return "finished in %.3f s, but the trace spans %d units" % (wall, spanned(want))
    return None


class Check:
    def __init__(self, args, metas, env):
        self.args, self.metas, self.env = args, metas, env
        self.units = [float(x) for x in args.units.split(",")]
        self.servers = Servers(env)
        self.have_redis = True

    def attempt(self, sid, unit_ms):
        env = dict(self.env, CONF_UNIT_MS="%g" % unit_ms)
        if "http" in self.metas[sid][1]:
            env["CONF_HTTP_PORT"] = self.servers.http(unit_ms)
        rc, got, err, wall = play(shlex.split(self.args.runner) + [sid], env, self.args.timeout)
        return verdict(sid, rc, got, wall, unit_ms / 1000.0), err

    def job(self, sid):
        if "redis" in self.metas[sid][1] and not self.have_redis:
            return sid, "skip", "", 0
        longest = 0
        for _ in range(self.args.repeat):
            for unit_ms in self.units:
                problem, err = self.attempt(sid, unit_ms)
                if not problem or problem == "missing":
                    break
            longest = max(longest, unit_ms)
            if problem:
                break
        return sid, problem, err, longest

    def results(self, ids):
        # Redis scenarios share one database: never two at a time.
        alone = [i for i in ids if "redis" in self.metas[i][1]]
        if alone:
            self.have_redis = self.servers.redis()
        with concurrent.futures.ThreadPoolExecutor(self.args.jobs) as pool:
            out = list(pool.map(self.job, [i for i in ids if i not in alone]))
        return sorted(out + [self.job(i) for i in alone])

    def report(self, ids):
        count = {"ok": 0, "skip": 0, "missing": 0, "failed": 0, "again": 0}
        for sid, problem, err, unit_ms in self.results(ids):
            kind = "ok" if not problem else problem if problem in count else "failed"
            count[kind] += 1
            count["again"] += kind == "ok" and unit_ms != self.units[0]
            if kind == "ok":
                print("ok  ", sid, "" if unit_ms == self.units[0] else "(unit %g ms)" % unit_ms)
            elif kind == "failed":
                print("FAIL", sid + ":", problem)
            else:
                print("SKIP" if kind == "skip" else "MISS", sid)
            if err and (self.args.stderr or kind == "failed"):
                print(err)
        print("%(ok)d passed (%(again)d of them with a longer unit), %(failed)d failed, "
              "%(missing)d missing, %(skip)d skipped" % count)
        return 1 if count["failed"] or count["missing"] else 0


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("ids", nargs="*")
    ap.add_argument("--runner", help="command; the scenario id is appended")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--area", help="only this area")
    ap.add_argument("--units", default=os.environ.get("CONF_UNITS", "20,60,200,600"),
                    help="unit lengths in ms, tried in turn until one passes (default 20,60,200,600)")
    ap.add_argument("--repeat", type=int, default=1, help="passes needed in a row")
    ap.add_argument("--busy", action="store_true", help="beside a process that never sleeps")
    ap.add_argument("--jobs", type=int, default=1)
    ap.add_argument("--timeout", type=float, default=60)
    ap.add_argument("--stderr", action="store_true", help="show what a runner wrote to stderr")
    args = ap.parse_args()
    metas = index()
    ids = args.ids or sorted(metas)
    if args.area:
        ids = [i for i in ids if metas[i][0] == args.area]
    if args.list:
        for i in ids:
            print("%-36s %-12s %-6s %s" % ((i,) + metas[i]))
        return 0
    if not args.runner:
        ap.error("give --runner")
    # If SIGINT was ignored when we were started, a runner must not inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    check = Check(args, metas, dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    if args.busy:
        check.servers.keep_busy()
    try:
        return check.report(ids)
    finally:
        check.servers.stop()


if __name__ == "__main__":
    sys.exit(main())
