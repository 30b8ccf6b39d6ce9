"""A web server for the tests of the handler `http`: what it does stands in the path, what it saw in a log.

    web.py LOG [--secret TEXT] [--tls CERT KEY] [--proxy]

/sleep/S     200 after S seconds            /status/N[?retry-after=T&to=URL]   N, with Retry-After and Location
/bytes/N     200 with N bytes               /hang    no answer until the client goes; then a line GONE
/echo        200 with the request's body    /cut     the half of an answer
/date/S      503, Retry-After: a date in S seconds, by a Date that is an hour slow
/loop        307, back to /loop            /drip    a byte of a header each 50 ms until the client goes; then a line GONE
/reset       no answer: the connection is reset
/leave       200, then the connection's end, unannounced; then a line LEFT
anything else is 200.

A line of the log for each request, when its body is read:
    METHOD TARGET conn=N len=N sha256=HEX signed=yes|no|bad open=N peak=N id=… queue=… attempt=… type=… <fields>
`conn` numbers the connections, `open` and `peak` count requests at one time. With --proxy a target may be a whole
url, and the log shows it. Prints its port, then serves until its standard input is closed.
"""
import argparse
import email.utils
import hashlib
import hmac
import http.server
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
import urllib.parse

options = argparse.ArgumentParser()
options.add_argument("log")
options.add_argument("--secret", default="")
options.add_argument("--tls", nargs=2)
options.add_argument("--proxy", action="store_true")
options = options.parse_args()
lock = threading.Lock()
state = {"connections": 0, "open": 0, "peak": 0}
log = open(options.log, "a", encoding="latin-1")


def say(line):
    with lock:
        log.write(line + "\n")
        log.flush()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        with lock:
            state["connections"] += 1
            self.number = state["connections"]

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        bodiless = status in (204, 304)
        if not bodiless:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and not bodiless:
            self.wfile.write(body)

    def send_date(self, seconds):
        now = time.time() - 3600
        self.send_response_only(503)
        self.send_header("Date", email.utils.formatdate(now, usegmt=True))
        self.send_header("Retry-After", email.utils.formatdate(now + seconds, usegmt=True))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def drip(self):
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            say(f"GONE {self.path} conn={self.number}")
        self.close_connection = True

    def signed(self, body):
        given = self.headers.get("X-Rpopd-Signature")
        if given is None:
            return "no"
        right = "sha256=" + hmac.new(options.secret.encode(), body, hashlib.sha256).hexdigest()
        return "yes" if given == right else "bad"

    def note(self, body):
        with lock:
            state["open"] += 1
            state["peak"] = max(state["peak"], state["open"])
        own = {"x-rpopd-id": "id", "x-rpopd-queue": "queue", "x-rpopd-attempt": "attempt", "content-type": "type"}
        fields = [f"{own.get(k.lower(), k.lower())}={v}" for k, v in self.headers.items()]
        say(f"{self.command} {self.path} conn={self.number} len={len(body)} sha256={hashlib.sha256(body).hexdigest()} "
            f"signed={self.signed(body)} open={state['open']} peak={state['peak']} {' '.join(fields)} .")

    def act(self, body):
        url = urllib.parse.urlsplit(self.path if options.proxy else "http://h" + self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        part = url.path.split("/") + [""]
        if part[1] == "sleep":
            time.sleep(float(part[2]))
            self.answer(200, b"slept")
        elif part[1] == "status":
            more = {"Retry_After": query["retry-after"]} if "retry-after" in query else {}
            more.update({"Location": query["to"]} if "to" in query else {})
            self.answer(int(part[2]), f"this is {part[2]}".encode(), **more)
        elif part[1] == "bytes":
            self.answer(200, b"x" * int(part[2]))
        elif part[1] == "echo":
            self.answer(200, body)
        elif part[1] == "loop":
            self.answer(307, Location="/loop")
        elif part[1] == "date":
            self.send_date(float(part[2]))
        elif part[1] == "hang":
            self.connection.recv(1)
            say(f"GONE {self.path} conn={self.number}")
            self.close_connection = True
        elif part[1] == "drip":
            self.drip()
        elif part[1] == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif part[1] == "leave":
            self.answer(200, b"the last one")
            time.sleep(0.1)
            self.connection.shutdown(socket.SHUT_RDWR)
            say(f"LEFT {self.path} conn={self.number}")
            self.close_connection = True
        elif part[1] == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe half")
            self.close_connection = True
        else:
            self.answer(200, b"fine")

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.note(body)
        try:
            self.act(body)
        finally:
            with lock:
                state["open"] -= 1

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 256

    def finish_request(self, request, client_address):
        if options.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*options.tls)
            try:
                request = context.wrap_socket(request, server_side=True)
            except OSError:
                say("REFUSED")
                return
        super().finish_request(request, client_address)

    def handle_error(self, *_):
        pass


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
