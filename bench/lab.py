"""An origin and clients of our own in one asyncio loop, for the runs in which upstream does what nginx cannot."""
import asyncio
import socket


class Answer:
    """What an origin says: after so many seconds, or never (`hang`), whole or cut off in the middle of its body."""

    def __init__(self, status=200, fields="", body=b'{"ok":true}', delay=0.0, hang=False, cut=False, reset=False):
        self.status, self.fields, self.body, self.delay = status, fields, body, delay
        self.hang, self.cut, self.reset = hang, cut, reset

    def encode(self):
        head = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\n{self.fields}Content-Length: {len(self.body)}\r\n\r\n"
        return head.encode() + (self.body[:len(self.body) // 2] if self.cut else self.body)


class Peer(asyncio.Protocol):
    def __init__(self, origin):
        self.origin, self.pending, self.transport, self.timers = origin, b"", None, []

    def connection_made(self, transport):
        self.transport = transport
        self.origin.peers.add(self)

    def connection_lost(self, error):
        self.origin.peers.discard(self)
        for timer in self.timers:
            timer.cancel()

    def data_received(self, data):
        self.pending += data
        while b"\r\n\r\n" in self.pending:
            head, _, self.pending = self.pending.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            answer = self.origin.answer(lines[0].split(" ")[1], fields)
            if answer.reset:
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.transport.abort()
            elif not answer.hang:
                self.timers = [each for each in self.timers if not each.cancelled() and each.when() > self.origin.loop.time()]
                self.timers.append(self.origin.loop.call_later(answer.delay, self.send, answer))

    def send(self, answer):
        if not self.transport.is_closing():
            self.transport.write(answer.encode())


class Origin:
    """`answer(target, fields)` returns an Answer. Only requests without a body."""

    def __init__(self, answer):
        self.answer, self.peers, self.server, self.plain, self.tls = answer, set(), None, 0, 9

    async def listen(self):
        """On a port of the kernel's choice, then always on that one."""
        self.loop = asyncio.get_running_loop()
        self.server = await self.loop.create_server(lambda: Peer(self), "127.0.0.1", self.plain, backlog=4096, reuse_address=True)
        self.plain = self.server.sockets[0].getsockname()[1]
        return self

    async def stop(self):
        """As if it had been killed."""
        if self.server:
            self.server.close()
            self.server = None
        for peer in list(self.peers):
            peer.transport.abort()
        await asyncio.sleep(0)


class Client:
    """Keeps connections; one request at a time on each."""

    def __init__(self, port):
        self.port, self.free = port, []

    async def open(self, count):
        for _ in range(count):
            self.free.append(await asyncio.open_connection("127.0.0.1", self.port))

    async def get(self, path, tenant="acme", fields=""):
        """(status, head as text, seconds)"""
        loop = asyncio.get_running_loop()
        reader, writer = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
        start = loop.time()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-Tenant-Id: {tenant}\r\n{fields}\r\n".encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            low = head.lower()
            if "content-length:" in low:
                await reader.readexactly(int(low.split("content-length:")[1].split("\r\n")[0]))
            elif " 204 " not in head and " 304 " not in head:
                await reader.read()
                raise ConnectionError
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return 0, "", loop.time() - start
        self.free.append((reader, writer))
        return int(head.split(" ")[1]), head, loop.time() - start

    async def close(self):
        for _, writer in self.free:
            writer.close()
        self.free = []


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
