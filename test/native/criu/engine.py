# SPDX-License-Identifier: Apache-2.0
"""Plays the migration engine towards CRIU: the other end of native/criu/protocol.h, in one process, without a network."""
import ctypes
import os
import socket
import struct

PAGE = 4096
GIB = 1 << 30
HUGE = 2 << 20
SLICE = 64 << 30
MAGIC = 0x4F4C4350
HEADER = struct.Struct("<IHHII")
(HELLO, DUMP_GO, TASK_VMAS, HANDLED, WINDOW, WINDOW_AT, DROP, ADVISE, OK, GO, MARK, HELD, RELEASE, RELEASED, ABORT,
 ERROR, DUMPED, LEFT) = range(1, 19)
REGULAR, STACK, VSYSCALL, VDSO, ANON_PRIVATE, VVAR, AIORING = 1, 2, 4, 8, 1 << 9, 1 << 12, 1 << 13
MAP_GROWSDOWN, MAP_HUGETLB = 0x100, 0x40000


class Refused(Exception):
    """The overlay hung up or answered ERROR."""


class Link:
    """One connection from an overlay."""

    def __init__(self, listener, timeout=60):
        listener.settimeout(timeout)
        self.sock, _ = listener.accept()
        self.sock.settimeout(timeout)
        kind, _, payload = self.receive()
        assert kind == HELLO, kind
        self.role, self.pid = struct.unpack_from("<II", payload)
        self.version = payload[8:].rstrip(b"\0").decode()

    def send(self, kind, payload=b"", arg=0):
        self.sock.sendall(HEADER.pack(MAGIC, 1, kind, len(payload), arg) + payload)

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise Refused("hung up")
            data += part
        return data

    def receive(self):
        magic, version, kind, length, arg = HEADER.unpack(self._read(HEADER.size))
        assert magic == MAGIC and version == 1 and length <= 16 << 20
        return kind, arg, self._read(length)

    def ask(self, kind, payload):
        self.send(kind, payload)
        answer, arg, data = self.receive()
        if answer == ERROR:
            raise Refused(f"{data.decode()} ({os.strerror(arg)})")
        return answer, data

    def window(self, start, length):
        kind, data = self.ask(WINDOW, struct.pack("<QQ", start, length))
        assert kind == WINDOW_AT
        base = struct.unpack("<Q", data)[0]
        assert (base - start) % GIB == 0, "window is not congruent"
        return base

    def advise(self, ranges, how):
        data = b"".join(struct.pack("<QQII", start, length, how, 0) for start, length in ranges)
        assert self.ask(ADVISE, data)[0] == OK

    def drop(self, ranges):
        assert self.ask(DROP, b"".join(struct.pack("<QQ", *r) for r in ranges))[0] == OK

    def go(self, areas):
        self.send(GO, b"".join(struct.pack("<IIQQQ", vpid, 0, start, end, at) for vpid, start, end, at in areas))

    def until(self, wanted):
        """Collects marks until that message comes: {name: (realtime_ns, ms)}."""
        marks = {}
        while True:
            kind, _, data = self.receive()
            if kind == MARK:
                name, when, ms = struct.unpack("<32sQd", data)
                marks[name.rstrip(b"\0").decode()] = (when, ms)
            elif kind == wanted:
                return marks
            else:
                raise AssertionError(f"message {kind}, wanted {wanted}")

    def close(self):
        self.sock.close()


def listen(path):
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4)
    return listener


def is_handled(start, end, flags, status):
    """The rule of docs/dev/interfaces.md."""
    return (status & REGULAR and status & ANON_PRIVATE and not status & (STACK | VSYSCALL | VDSO | VVAR | AIORING)
            and not flags & (MAP_GROWSDOWN | MAP_HUGETLB) and end - start >= 256 << 10)


class Task:
    """What a dump told about one process, and copies of its handled pages."""

    def __init__(self, payload, handle=True):
        self.pid, self.vpid, count, _ = struct.unpack_from("<IIII", payload)
        self.vmas = [struct.unpack_from("<QQIIII", payload, 16 + 32 * i) for i in range(count)]
        self.bits = [bool(handle and is_handled(v[0], v[1], v[3], v[4])) for v in self.vmas]
        self.handled = [(v[0], v[1]) for v, bit in zip(self.vmas, self.bits) if bit]
        self.runs = {}
        for start, end in self.handled:
            self.runs[start] = read_present(self.pid, start, end)


def present_runs(pid, start, end):
    """Ranges of [start, end) that have a page (or a swapped one)."""
    runs, at, step = [], start, 64 << 20
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        while at < end:
            upto = min(end, at + step)
            entries = os.pread(pagemap.fileno(), (upto - at) // PAGE * 8, at // PAGE * 8)
            if entries.count(0) != len(entries):
                for i, (entry,) in enumerate(struct.iter_unpack("<Q", entries)):
                    if entry >> 62:
                        page = at + i * PAGE
                        if runs and runs[-1][1] == page:
                            runs[-1][1] = page + PAGE
                        else:
                            runs.append([page, page + PAGE])
            at = upto
    return runs


def read_present(pid, start, end):
    """[(address, bytes)] of what is present; /proc/PID/mem also reads what the process itself may not."""
    out = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for first, last in present_runs(pid, start, end):
            while first < last:
                part = os.pread(mem.fileno(), min(last - first, 16 << 20), first)
                if not part:
                    raise OSError(f"{pid}: nothing at {first:x}")
                out.append((first, part))
                first += len(part)
    return out


def private_mappings(pid):
    """{start: (end, permissions, name)} of the private mappings of a process."""
    found = {}
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            words = line.split(None, 5)
            start, end = (int(x, 16) for x in words[0].split("-"))
            name = words[5].strip() if len(words) > 5 else ""
            if words[1][3] == "p" and name not in ("[vdso]", "[vvar]", "[vsyscall]", "[vvar_vclock]"):
                found[start] = (end, words[1], name)
    return found


class Stage:
    """Windows by slices of the address space of each task, as the engine makes them."""

    def __init__(self, link):
        self.link, self.areas = link, []

    def add(self, task, huge=lambda start, end: []):
        """Stages every handled mapping; huge(start, end) lists the ranges to advise, in the source's addresses."""
        slices = []
        for start, end in task.handled:
            low, high = start // SLICE * SLICE, -(-end // SLICE) * SLICE
            if slices and low < slices[-1][1]:
                slices[-1][1] = max(high, slices[-1][1])
            else:
                slices.append([low, high])
        bases = {low: self.link.window(low, high - low) - low for low, high in slices}

        def offset(start):
            return next(bases[low] for low, high in slices if low <= start < high)

        for start, end in task.handled:
            ranges = [(first + offset(start), last - first) for first, last in huge(start, end)]
            if ranges:
                self.link.advise(ranges, 1)
        with open(f"/proc/{self.link.pid}/mem", "r+b", buffering=0) as mem:
            for start, end in task.handled:
                for address, data in task.runs[start]:
                    pwrite_all(mem.fileno(), data, address + offset(start))
                self.areas.append((task.vpid, start, end, start + offset(start)))


def pwrite_all(fd, data, at):
    view = memoryview(data)
    while view:
        put = os.pwrite(fd, view, at)
        view, at = view[put:], at + put


def become_subreaper():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
