"""The raw client: sends steps as they are, reads whatever comes, parses responses."""
import base64
import select
import socket
import ssl
import struct
import time

from httpparse import read_message

AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def parse_stream(buf, eof, methods):
    """Split a client's received bytes into (interims, finals, leftover)."""
    interims, finals = [], []
    while buf:
        method = methods[len(finals)] if len(finals) < len(methods) else b"GET"
        msg, used = read_message(buf, eof, False, method)
        if msg is None:
            break
        buf = buf[used:]
        if isinstance(msg.status, int) and 100 <= msg.status < 200 and msg.status != 101:
            interims.append(msg)
            continue
        finals.append(msg)
        if msg.status == 101 or not msg.complete:
            break
    return interims, finals, buf


class Client:
    tls = None                     # an SSLContext: every client speaks TLS

    @classmethod
    def use_tls(cls):
        cls.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        cls.tls.check_hostname = False
        cls.tls.verify_mode = ssl.CERT_NONE

    def __init__(self, addr, timeout=5.0):
        self.sock = socket.create_connection(addr, timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            self.sock = self.tls.wrap_socket(self.sock, server_hostname="front.example")
        self.sock.setblocking(False)
        self.buf = b""
        self.eof = self.rst = self.send_failed = False
        self.methods = []

    def _pump(self, want_write, timeout):
        """Wait for the socket once; read what is there. True when writable."""
        reads = [] if self.eof else [self.sock]
        if not reads and not want_write:
            return False
        if self.tls and reads and self.sock.pending():
            timeout = 0
            r, w, _ = reads, select.select([], [self.sock] if want_write else [], [], 0)[1], []
        else:
            r, w, _ = select.select(reads, [self.sock] if want_write else [], [], timeout)
        if r:
            try:
                data = self.sock.recv(262144)
                if not data:
                    self.eof = True
                self.buf += data
            except AGAIN:
                pass
            except ssl.SSLEOFError:              # the end without a close_notify
                self.eof = True
            except OSError:
                self.eof = self.rst = True
        return bool(w)

    def send(self, data, limit=4.0):
        end = time.monotonic() + limit
        while data and time.monotonic() < end:
            if self.rst:
                break
            if self._pump(True, 0.2):
                try:
                    data = data[self.sock.send(data[:65536]):]
                except AGAIN:
                    pass
                except OSError:
                    self.send_failed = True
                    return
        self.send_failed = self.send_failed or bool(data)

    def parsed(self):
        return parse_stream(self.buf, self.eof, self.methods)

    def read(self, done, limit):
        """Read until done(self), end of stream or the limit (seconds)."""
        end = time.monotonic() + limit
        while not self.eof:
            if done(self):
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._pump(False, left)
        return True

    def quiet(self, seconds, limit=2.0):
        """Read until nothing has come for `seconds`."""
        end = time.monotonic() + limit
        size, since = len(self.buf), time.monotonic()
        while not self.eof and time.monotonic() < end:
            self._pump(False, max(0.0, min(since + seconds, end) - time.monotonic()) + 0.005)
            if len(self.buf) != size:
                size, since = len(self.buf), time.monotonic()
            elif time.monotonic() - since >= seconds:
                return

    def run_steps(self, steps):
        for step in steps:
            if "b64" in step:
                self.send(base64.b64decode(step["b64"]) * step.get("repeat", 1))
            elif "pause_ms" in step:
                end = time.monotonic() + step["pause_ms"] / 1000
                while time.monotonic() < end and not self.eof:
                    self._pump(False, max(0.0, end - time.monotonic()))
            elif "wait_ms" in step:          # until anything arrives
                had = len(self.buf)
                self.read(lambda c: len(c.buf) > had, step["wait_ms"] / 1000)
            elif step.get("half_close"):
                # below TLS, where there is one: the plain end of the client's bytes
                self._quietly(lambda: socket.socket.shutdown(self.sock, socket.SHUT_WR))
            elif step.get("rst"):
                self._quietly(lambda: self.sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)))
                self.close()
            elif step.get("close"):
                self.close()

    @staticmethod
    def _quietly(act):
        try:
            act()
        except OSError:
            pass

    def close(self):
        self.eof = True
        self._quietly(self.sock.close)
