"""Thousands of clients that say an octet a second, and others among them: what `scripts/soak --slow-clients` runs.

    python3 benches/slow_clients.py DAEMON_PID CLIENTS SECONDS

A quarter of the clients each sends a head of HTTP, a command of POP3, a handshake of TLS, and a record of TLS. Whoever is cut
off comes back for as long as the SECONDS last, so that there are always as many. A process of its own asks for a page by
HTTP, by HTTPS, and for POP3's greeting meanwhile, on a connection each time, and before: that is the usual latency.
Ends with 1 if somebody was not cut off in time, not served, served late, or memory grew beyond its bound.
"""

import asyncio
import multiprocessing
import resource
import socket
import ssl
import statistics
import sys
import time

ADDRESS = "192.0.2.2"
DAEMON, CLIENTS, SECONDS = (int(word) for word in sys.argv[1:4])
BEFORE = 10
# How long each may go on, by the defaults of the configuration; and what a farewell and a busy machine may add.
LIMITS = {"HTTP head": 10, "POP3 command": 60, "TLS handshake": 10, "TLS record": 60}
GRACE = 6
# What a slow client may cost, in KiB.
EACH = 24
CONTEXT = ssl._create_unverified_context()
# The slow ones are cheap for Python if no key of a quantum computer's age is made for each.
CONTEXT.set_ecdh_curve("prime256v1")


class Tls:
    """A session that a client drives by hand."""

    def __init__(self):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = CONTEXT.wrap_bio(self.incoming, self.outgoing)

    def shake(self):
        """Goes on; true once the handshake is done."""
        try:
            self.session.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False


async def begin(kind):
    """A connection, and the octets that it is to get one by one."""
    if kind == "POP3 command":
        reader, writer = await asyncio.open_connection(ADDRESS, 110)
        await reader.readline()
        return reader, writer, b"USER " + b"a" * 200
    if kind == "HTTP head":
        reader, writer = await asyncio.open_connection(ADDRESS, 80)
        return reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-Header: value\r\n" * 20
    reader, writer = await asyncio.open_connection(ADDRESS, 443)
    tls = Tls()
    done = tls.shake()
    if kind == "TLS handshake":
        return reader, writer, tls.outgoing.read()
    while not done:
        writer.write(tls.outgoing.read())
        tls.incoming.write(await reader.read(65536))
        done = tls.shake()
    writer.write(tls.outgoing.read())
    tls.session.write(b"GET / HTTP/1.1\r\n" * 20)
    return reader, writer, tls.outgoing.read()


async def until_end(reader):
    """Reads to the end, in order or not."""
    try:
        while await reader.read(65536):
            pass
    except OSError:
        pass


async def slow(kind, until, cut, wrong):
    """One client after the other, until it is time."""
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            reader, writer, octets = await begin(kind)
        except Exception as failure:
            wrong.append(f"{kind}: {failure!r}")
            await asyncio.sleep(1)
            continue
        # The time is that of the first octet, which a busy client may be late to send.
        began = time.monotonic()
        end = asyncio.ensure_future(until_end(reader))
        for octet in octets:
            try:
                writer.write(bytes([octet]))
            except OSError:
                break
            if (await asyncio.wait([end], timeout=1))[0]:
                break
        if end.done():
            cut[kind].append(time.monotonic() - began)
        else:
            wrong.append(f"{kind}: never cut off")
            end.cancel()
        writer.close()


def probe(results, stop):
    """Asks every 20 ms, each time by another protocol; gives (time, what, seconds or a failure)."""
    while not stop.is_set():
        for what, port in (("HTTP", 80), ("HTTPS", 443), ("POP3", 110)):
            began = time.monotonic()
            try:
                with socket.create_connection((ADDRESS, port), timeout=10) as client:
                    if what == "POP3":
                        good = client.recv(100).startswith(b"+OK")
                        client.sendall(b"QUIT\r\n")
                    else:
                        if what == "HTTPS":
                            client = CONTEXT.wrap_socket(client)
                        client.sendall(b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        answer = b""
                        while piece := client.recv(65536):
                            answer += piece
                        good = answer.startswith(b"HTTP/1.1 200 ")
                        client.close()
                said = time.monotonic() - began if good else "another answer"
            except Exception as failure:
                said = repr(failure)
            results.put((began, what, said))
            time.sleep(0.02)
    results.put(None)


def memory():
    with open(f"/proc/{DAEMON}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


async def crowd(cut, wrong):
    until = time.monotonic() + SECONDS
    clients = []
    most = memory()
    for number in range(CLIENTS):
        clients.append(asyncio.ensure_future(slow(list(LIMITS)[number % 4], until, cut, wrong)))
        if number % 50 == 49:
            await asyncio.sleep(0.03)
    print(f"slow clients     {CLIENTS} at once, after {time.monotonic() - until + SECONDS:.1f} s", flush=True)
    while not all(client.done() for client in clients):
        most = max(most, memory())
        await asyncio.sleep(0.5)
    return most


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (CLIENTS + 1_000, CLIENTS + 1_000))
    results, stop = multiprocessing.Queue(), multiprocessing.Event()
    prober = multiprocessing.Process(target=probe, args=(results, stop))
    prober.start()
    time.sleep(BEFORE)
    before, began = memory(), time.monotonic()
    cut, wrong = {kind: [] for kind in LIMITS}, []
    during = asyncio.run(crowd(cut, wrong))
    ended = time.monotonic()
    # Connections in TIME-WAIT, and what the allocator gives back later.
    time.sleep(5)
    stop.set()
    probes = []
    while (result := results.get()) is not None:
        probes.append(result)
    prober.join()
    after = memory()
    is_good = not wrong
    for failure in wrong[:5]:
        print("   ", failure)
    for kind, times in cut.items():
        times.sort()
        print(f"{kind:16} {len(times)} cut off, after {times[0]:.1f} to {times[-1]:.1f} s (limit {LIMITS[kind]} s)")
        is_good &= times[-1] <= LIMITS[kind] + GRACE
    for what in ("HTTP", "HTTPS", "POP3"):
        def figures(first, last):
            said = [said for at, name, said in probes if name == what and first <= at < last]
            failures = [failure for failure in said if isinstance(failure, str)]
            times = sorted(time for time in said if not isinstance(time, str))
            return failures, statistics.median(times) * 1e3, times[int(0.99 * (len(times) - 1))] * 1e3, len(times)
        failures, median, late, count = figures(began, ended)
        _, usual, usually_late, _ = figures(0, began)
        print(f"others by {what:6} {count} served, {len(failures)} not; median {median:.1f} ms, 99th {late:.1f} ms "
              f"(before: {usual:.1f}, {usually_late:.1f})")
        for failure in failures[:3]:
            print("   ", failure)
        # The slow ones take a core of the client's machine: that alone makes the others' client late.
        is_good &= not failures and median <= usual + 20 and late <= usually_late + 200
    bound = before + CLIENTS * EACH
    print(f"memory           {before} KiB before, at most {during} meanwhile, {after} after (bound {bound})")
    sys.exit(not (is_good and during <= bound))


main()
