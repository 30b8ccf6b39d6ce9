#!/usr/bin/env python3
"""A Redis-aware proxy in front of a unix socket that breaks one connection at an exact command.

  faultproxy.py LISTEN UPSTREAM

LISTEN is the path of a unix socket, or `tcp`: then a port of 127.0.0.1, which the first line `ready <port>` names.
A line on stdin arms it anew and sets the counters to zero; the answer is a line `commands <n> hits <n>` with the counts so far:

  KIND N [ARG]     break at the N-th command since (over all connections, from 1)
  match PATTERN    from now on only commands count in which the regular expression is found, until the next `none`
  none             break nothing
  look             changes nothing: for the answer
  release          first lets go what is held, then as `none`
  slow MS          every answer comes MS milliseconds after its command; behind a `match`, of those commands. What
                   was carried out for a client that says no more is answered all the same
  rate BYTES       the answers of all connections together come with so many bytes a second
  rst              whatever is sent is answered by a reset (over TCP a RST) and is not forwarded; each is a hit
  hole             nothing passes any more, and nobody is told: the connections that there are, and those that come
                   until the next line, stay open and silent for ever
  turn PATH        all connections are cut, and from now on new ones go to the server at PATH

KIND is one of
  cut-before   the command is not forwarded; both sides are closed
  cut-after    the command is forwarded and carried out; its answer is swallowed, both sides are closed
  half         half of the answer is passed on, then both sides are closed
  turn-before  the command is not forwarded; as `turn ARG`
  kill-before  the command is not forwarded; the process that sent it gets SIGKILL
  kill-after   the command is forwarded and carried out; instead of the answer its sender gets SIGKILL
  stall        the answer is swallowed and the connection stays open and silent
  hold         the answer, and what follows it on its connection, comes with the next line, which counts what is sent upon it;
               with an ARG the command is not forwarded, and the answer is the error ARG
  split        the answer comes one byte at a time
  error        the command is not forwarded; the answer is the error ARG
  raw          the command is forwarded and carried out; instead of the answer come the lines of ARG, which has commas between them
  orphan       the command is forwarded, the client is cut off, the server's side stays open
  late         the client is cut off; the command and all behind it reach the server when ARG further commands have passed,
               or on `release`
"""
import asyncio, os, re, signal, socket, struct, sys

LISTEN = sys.argv[1]


class Need(Exception):
    """More bytes are needed."""


class Fault:
    kind, at, arg = "none", 0, ""
    pattern = re.compile(b"")
    commands = hits = 0
    upstream = sys.argv[2]
    slow = 0.0      # seconds
    rate = 0        # bytes a second; 0: any
    line = None     # a lock: one connection at a time has it
    held = []       # [server's writer, bytes, number of commands to wait for]
    kept = []       # server sides that outlive their clients
    open = set()    # connections
    goes = asyncio.Event()  # what is held by now

    def arm(self, words):
        self.kind, rest = words[0], words[1:]
        if self.kind in ("match", "none"):
            self.pattern = re.compile(words[1].encode() if rest else b"", re.S)
            self.kind, rest = "none", []
        self.at, self.slow, self.rate = 0, 0.0, 0
        if self.kind == "slow":
            self.slow = float(rest[0]) / 1000
        elif self.kind == "rate":
            self.rate = int(rest[0])
        elif self.kind == "turn":
            self.turn(rest[0])
        elif self.kind == "hole":
            for c in self.open:
                c.silent = True
        elif rest:
            self.at, self.arg = int(rest[0]), " ".join(rest[1:])
        self.commands = self.hits = 0
        self.goes.set()
        self.goes = asyncio.Event()

    def turn(self, path):
        self.upstream = path
        for c in self.open:
            reset(c.cw)

    def next(self, command):
        """Counts a command: is this the one?"""
        if not self.pattern.search(command):
            return False
        self.commands += 1
        for h in self.held:
            h[2] -= 1
        self.release(lambda h: h[2] <= 0)
        if self.commands != self.at:
            return False
        self.hits += 1
        return True

    def release(self, due):
        for h in [h for h in self.held if due(h)]:
            self.held.remove(h)
            h[0].write(bytes(h[1]))
            self.kept.append(h[0])


FAULT = Fault()


def line(b, i):
    j = b.find(b"\r\n", i)
    if j < 0:
        raise Need
    return bytes(b[i:j]), j + 2


def request(b):
    """The length of the first complete command in b."""
    head, i = line(b, 0)
    if head[:1] != b"*":
        return i
    for _ in range(int(head[1:])):
        head, i = line(b, i)
        i += int(head[1:]) + 2
        if len(b) < i:
            raise Need
    return i


def reply(b, i=0):
    """The end of the reply that begins at i."""
    head, i = line(b, i)
    if head[:1] in b"+-:":
        return i
    n = int(head[1:])
    if head[:1] == b"$":
        if n >= 0 and len(b) < i + n + 2:
            raise Need
        return i + n + 2 if n >= 0 else i
    for _ in range(max(n, 0)):
        i = reply(b, i)
    return i


def kill_peer(w):
    """SIGKILL to the process at the other end of a unix socket."""
    credentials = w.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    os.kill(struct.unpack("3i", credentials)[0], signal.SIGKILL)


def reset(w):
    sock = w.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    w.transport.abort()


class Connection:
    def __init__(self, client, server):
        self.cr, self.cw = client
        self.sr, self.sw = server
        self.pending = asyncio.Queue()  # an entry a command: (kind or "", an answer of our own or None, when it came or 0,
                                        # what lets its answer go)
        self.keep = False               # the server's side outlives the client's
        self.silent = FAULT.kind == "hole"

    async def requests(self):
        buf = bytearray()
        while True:
            data = await self.cr.read(65536)
            if not data:
                if FAULT.slow:
                    self.sw.write_eof()
                    await asyncio.sleep(3600)  # the server closes behind its last answer
                return
            if self.silent:
                continue
            if FAULT.kind == "rst":
                FAULT.hits += 1
                return
            buf += data
            while buf:
                try:
                    n = request(buf)
                except Need:
                    break
                kind = FAULT.kind if FAULT.next(buf[:n]) else ""
                if kind == "late":
                    FAULT.held.append([self.sw, buf, int(FAULT.arg or 1)])
                    self.keep = True
                if kind == "kill-before":
                    kill_peer(self.cw)
                if kind == "turn-before":
                    FAULT.turn(FAULT.arg)
                if kind in ("late", "cut-before", "turn-before", "kill-before"):
                    return
                own = b"-" + FAULT.arg.encode() + b"\r\n" if kind == "error" or kind == "hold" and FAULT.arg else None
                came = asyncio.get_running_loop().time() if FAULT.pattern.search(buf[:n]) else 0.0
                await self.pending.put((kind, own, came, FAULT.goes))
                if own is None:
                    self.sw.write(bytes(buf[:n]))
                    await self.sw.drain()
                del buf[:n]
                if kind == "orphan":
                    self.keep = True
                    FAULT.kept.append(self.sw)
                    return

    async def answer(self, buf):
        while True:
            try:
                return reply(buf)
            except Need:
                data = await self.sr.read(65536)
                if not data:
                    return 0
                buf += data

    async def pass_on(self, raw):
        part = FAULT.rate // 20 or len(raw) or 1
        for i in range(0, len(raw), part):
            async with FAULT.line:
                self.cw.write(raw[i:i + part])
                await self.cw.drain()
                if FAULT.rate:
                    await asyncio.sleep(len(raw[i:i + part]) / FAULT.rate)

    async def replies(self):
        buf = bytearray()
        while True:
            kind, own, came, goes = await self.pending.get()
            n = await self.answer(buf) if own is None else 0
            if own is None and not n:
                return
            raw = bytes(buf[:n]) if own is None else own
            del buf[:n]
            if kind == "raw":
                raw = FAULT.arg.replace(",", "\r\n").encode() + b"\r\n"
            if FAULT.slow and came:
                await asyncio.sleep(came + FAULT.slow - asyncio.get_running_loop().time())
            if kind == "kill-after":
                kill_peer(self.cw)
            if kind in ("cut-after", "kill-after"):
                return
            if kind == "stall" or self.silent:
                await asyncio.sleep(3600)
            if kind == "hold":
                await goes.wait()
            if kind == "half":
                raw = raw[:len(raw) // 2]
            if kind == "split":
                for c in raw:
                    self.cw.write(bytes([c]))
                    await self.cw.drain()
            else:
                await self.pass_on(raw)
            if kind == "half":
                return

    async def run(self):
        both = [asyncio.ensure_future(self.requests()), asyncio.ensure_future(self.replies())]
        FAULT.open.add(self)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        FAULT.open.discard(self)
        for t in both:
            t.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        reset(self.cw)
        if not self.keep:
            reset(self.sw)


async def accept(cr, cw):
    try:
        server = await asyncio.open_unix_connection(FAULT.upstream)
    except OSError:
        reset(cw)
        return
    await Connection((cr, cw), server).run()


async def control():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while True:
        words = (await reader.readline()).decode().split()
        if not words:
            return
        counts = f"commands {FAULT.commands} hits {FAULT.hits}"
        if words[0] == "look":
            print(counts, flush=True)
            continue
        if words[0] == "release":
            FAULT.release(lambda h: True)
        else:
            for w in FAULT.kept + [h[0] for h in FAULT.held]:
                reset(w)
            FAULT.kept.clear()
            FAULT.held.clear()
        FAULT.arm(words)
        print(counts, flush=True)


async def main():
    FAULT.line = asyncio.Lock()
    if LISTEN == "tcp":
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        print("ready", server.sockets[0].getsockname()[1], flush=True)
    else:
        server = await asyncio.start_unix_server(accept, LISTEN)
        print("ready", flush=True)
    await control()
    server.close()

asyncio.run(main())
