"""What the gateway holds: memory at rest, heap by connection, calls of the allocator by hit."""
import mmap
import os
import resource
import socket
import struct
import time

import load
import servers

HIT = "/crm/cached/1"
CONNECTIONS, HITS, WARM, HIT_CONNECTIONS = 1000, 20000, 2000, 8
NAMES = ("mallocs", "callocs", "reallocs", "aligned", "frees", "live_bytes", "live_blocks")
CALLS = NAMES[:4]
REST_SECONDS = 2


class Client:
    """The least of a client: one connection, GETs whose answers have a Content-Length."""

    def __init__(self, port, path=HIT):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-Tenant-Id: acme\r\n\r\n".encode()

    def ask(self):
        self.socket.sendall(self.request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"not a 200: {head[:200]!r}")
        length = int(head.lower().partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self.receive()
        return head

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise RuntimeError("the connection was closed")
        return data

    def close(self):
        self.socket.close()


class Counters:
    """What count_alloc writes."""

    def __init__(self, path):
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 8 * len(NAMES))

    def read(self):
        return dict(zip(NAMES, struct.unpack_from(f"={len(NAMES)}Q", self.map)))

    def close(self):
        self.map.close()
        self.file.close()


def raise_descriptors(wanted=4096):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def hits(port, count, connections):
    clients = [Client(port) for _ in range(connections)]
    try:
        for i in range(count):
            head = clients[i % connections].ask()
        if b"; hit" not in head:
            raise RuntimeError(f"not a hit: {head!r}")
    finally:
        for client in clients:
            client.close()


def idle_growth(gateway, read):
    """How much what `read` tells grows by an idle connection that has been answered once. The first connections warm the program up
    and stay open, so that the growth is not hidden in what it had set aside."""
    first = [Client(gateway.port) for _ in range(50)]
    for client in first:
        client.ask()
    time.sleep(0.5)
    before = read()
    clients = []
    try:
        for _ in range(CONNECTIONS):
            client = Client(gateway.port)
            clients.append(client)
            client.ask()
        time.sleep(0.5)
        return {key: (value - before[key]) / CONNECTIONS for key, value in read().items()}
    finally:
        for client in first + clients:
            client.close()


def measure_rest(directory, binary, origin):
    """A gateway with every default (but ports and directory), which nobody has called."""
    gateway = servers.Gateway(directory, binary, origin, "at-rest", core="0,1", cache={}, limits={}, log={})
    try:
        time.sleep(REST_SECONDS)
        return load.memory_kib(gateway.pid)
    finally:
        gateway.stop()


def measure_connections(directory, binary, origin):
    gateway = servers.Gateway(directory, binary, origin, "connections", workers=1)
    try:
        gateway.map_tenant()
        hits(gateway.port, 10, 1)
        return idle_growth(gateway, lambda: load.memory_kib(gateway.pid))
    finally:
        gateway.stop()


def measure_allocations(directory, binary, origin, preload):
    path = directory / "count_alloc"
    env = {"LD_PRELOAD": str(preload), "COUNT_ALLOC_FILE": str(path)}
    gateway = servers.Gateway(directory, binary, origin, "counted", env=env, workers=1)
    counters = Counters(path)
    try:
        gateway.map_tenant()
        clients = [Client(gateway.port) for _ in range(HIT_CONNECTIONS)]
        for i in range(WARM):
            clients[i % HIT_CONNECTIONS].ask()
        before = counters.read()
        for i in range(HITS):
            head = clients[i % HIT_CONNECTIONS].ask()
        after = counters.read()
        for client in clients:
            client.close()
        if b"; hit" not in head:
            raise RuntimeError(f"not a hit: {head!r}")
        calls = sum(after[name] - before[name] for name in CALLS)
        growth = idle_growth(gateway, counters.read)
        return {"hits": HITS, "calls": calls, "frees": after["frees"] - before["frees"], "per_hit": calls / HITS,
                "heap_per_idle_connection": growth["live_bytes"], "blocks_per_idle_connection": growth["live_blocks"]}
    finally:
        counters.close()
        gateway.stop()


def measure(directory, binary, origin, preload):
    raise_descriptors()
    return {"rest": measure_rest(directory, binary, origin), "connection": measure_connections(directory, binary, origin),
            "hit": measure_allocations(directory, binary, origin, preload), "cores": os.cpu_count()}
