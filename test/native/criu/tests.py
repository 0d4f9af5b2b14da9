# SPDX-License-Identifier: Apache-2.0
"""Dumps and restores a real process tree through CRIU with the overlay. tests.py BUILD_DIR CRIU SUBJECT"""
import contextlib
import ctypes
import glob
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback

import engine
from engine import Link, Refused, Stage, Task

WORK, CRIU, SUBJECT = sys.argv[1:4]
SOCKET = os.path.join(WORK, "engine.sock")


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(0.01)


def reap():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def alive(pid):
    """Running, i.e. neither gone nor a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Subject:
    """The tree, its folder, and what it looked like."""

    made = []

    def __init__(self, name, big=48, user=None, alone=False):
        self.folder = os.path.join(WORK, name)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(os.path.join(self.folder, "images"))
        os.chmod(self.folder, 0o777)
        command = ["setsid", SUBJECT, self.folder, str(big)] + (["alone"] if alone else [])
        if user:
            command[1:1] = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, cwd="/")
        wait_for("the subject", lambda: len(self.pids()) == (1 if alone else 5), 60)
        self.root = self.process.pid
        self.made.append(self)
        self.tree = self.pids()

    def pids(self):
        return sorted(int(p.rsplit(".", 1)[1]) for p in glob.glob(f"{self.folder}/ready.*"))

    def verify(self):
        """Every process finds its memory as it left it, and can write to it."""
        for path in glob.glob(f"{self.folder}/verify.*"):
            os.unlink(path)
        for pid in self.tree:
            os.kill(pid, signal.SIGUSR1)
        paths = [f"{self.folder}/verify.{pid}" for pid in self.tree]
        wait_for("self-check", lambda: all(map(os.path.exists, paths)), 60)
        for path in paths:
            with open(path, encoding="ascii") as file:
                verdict = file.read()
            assert verdict == "ok", f"{os.path.basename(path)}: {verdict}"

    def snapshot(self):
        return {pid: {start: (info, engine.read_present(pid, start, info[0]))
                      for start, info in engine.private_mappings(pid).items()} for pid in self.tree}

    def end(self):
        for pid in self.tree:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe").startswith(SUBJECT):
                    os.kill(pid, signal.SIGKILL)
        wait_for("the tree's end", lambda: (reap(), not any(map(alive, self.tree)))[1])

    def criu(self, action, *options, socket=SOCKET):
        env = dict(os.environ)
        env.pop("PCLIVE_SOCKET", None)
        if socket:
            env["PCLIVE_SOCKET"] = socket
        command = [CRIU, action, "-D", f"{self.folder}/images", "-o", f"../{action}.log", "-v4", *options]
        return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL)

    def dump_command(self, **kw):
        return self.criu("dump", "-t", str(self.root), "--tcp-established", **kw)

    def restore_command(self, **kw):
        return self.criu("restore", "-d", "--tcp-established", **kw)

    def dump(self, handle=True, choose=lambda task: None):
        """
        A dump through the overlay: the tasks, with copies of what CRIU was not to dump. The tree is killed by CRIU.
        choose(task) may change what is handled.
        """
        listener = engine.listen(SOCKET)
        process = self.dump_command()
        link = Link(listener)
        assert link.role == 1 and link.pid == process.pid
        time.sleep(0.2)
        assert not os.listdir(f"{self.folder}/images"), "CRIU looked before DUMP_GO"
        link.send(engine.DUMP_GO)
        tasks, said, early = [], [], {}
        with contextlib.suppress(Refused):
            while True:
                kind, _, payload = link.receive()
                if kind == engine.TASK_VMAS:
                    tasks.append(Task(payload, handle))
                    choose(tasks[-1])
                    link.send(engine.HANDLED, bytes(tasks[-1].bits))
                    continue
                said.append(payload[:32].rstrip(b"\0").decode() if kind == engine.MARK else kind)
                if kind == engine.DUMPED:
                    early = self.images()
        self.finish(process, "dump")
        assert [word for word in said if word in ("seized", engine.DUMPED, engine.LEFT)] == [
            "seized", engine.DUMPED, engine.LEFT], said
        assert early == self.images(), "images changed after DUMPED"
        wait_for("the dumped tree's end", lambda: (reap(), not any(map(alive, self.tree)))[1])
        return tasks

    def images(self):
        """{name: contents}, of what a migration sends."""
        found = {}
        for path in glob.glob(f"{self.folder}/images/*.img"):
            with open(path, "rb") as file:
                found[os.path.basename(path)] = file.read()
        return found

    def finish(self, process, action, code=0):
        got = process.wait(60)
        if (got == 0) != (code == 0):
            with open(f"{self.folder}/{action}.log", encoding="utf-8", errors="replace") as log:
                lines = [line for line in log if "Error" in line or "pclive" in line]
            raise AssertionError(f"criu {action} exited with {got}\n" + "".join(lines[-15:]))

    def log(self, action):
        with open(f"{self.folder}/{action}.log", encoding="utf-8", errors="replace") as log:
            return log.read()

    def start_restore(self):
        listener = engine.listen(SOCKET)
        process = self.restore_command()
        link = Link(listener)
        assert link.role == 2 and link.pid == process.pid
        return process, link


# Of a longer mapping only so much is advised: the sparse one would take gigabytes, as huge pages.
ADVISED = 1 << 30


def mixed_huge(start, end):
    """Every other 2 MiB, so that a mapping has flags of both kinds."""
    first, last = -(-start // engine.HUGE) * engine.HUGE, min(end, start + ADVISED // 16)
    return [(at, at + engine.HUGE) for at in range(first, last - engine.HUGE + 1, 2 * engine.HUGE)]


def all_huge(start, end):
    """What a dense mapping gets."""
    first, last = -(-start // engine.HUGE) * engine.HUGE, end // engine.HUGE * engine.HUGE
    return [(first, last)] if last > first and end - start <= ADVISED else []


def compare(before, after, tasks):
    """Handled memory must be the same bit by bit, nothing more and nothing less; mappings must have their permissions."""
    handled = {task.vpid: set(task.handled) for task in tasks}
    for pid, mappings in before.items():
        pages = 0
        for start, (info, runs) in mappings.items():
            if (start, info[0]) not in handled[pid]:
                continue
            for address, data in runs:
                now = b"".join(part for _, part in engine.read_present(pid, address, address + len(data)))
                differing = [i for i in range(len(data)) if now[i] != data[i]] if now != data else []
                # A thread's stack holds its rseq area, where the kernel writes the number of the CPU it runs on.
                assert within_rseq(differing), f"{pid}: {address:x}+{len(data):x} differs at {differing[:20]}"
                pages += len(data) // engine.PAGE
            assert count_nonzero(pid, start, info[0], runs), f"{pid}: {start:x} has pages that it should not"
        assert pages, f"nothing compared of {pid}"
        now = {(s, e, p) for s, (e, p, n) in after[pid].items()}
        for start, (info, _) in mappings.items():
            if (start, info[0]) in handled[pid]:
                assert covered(now, start, info[0], info[1]), f"{pid}: {start:x}-{info[0]:x} {info[1]} is not mapped so"
        extra = sum(e - s for s, (e, _, _) in after[pid].items()) - sum(i[0] - s for s, (i, _) in mappings.items())
        assert extra == 0, f"{pid}: {extra} bytes of mappings too many"


def covered(maps, start, end, permissions):
    """One mapping with these permissions, perhaps merged with a neighbour, holds the range."""
    return any(s <= start and e >= end and p == permissions for s, e, p in maps)


def within_rseq(offsets):
    return not offsets or offsets[-1] // 32 == offsets[0] // 32


def count_nonzero(pid, start, end, runs):
    """No page outside of the runs has content."""
    known = {page for address, data in runs for page in range(address, address + len(data), engine.PAGE)}
    for address, data in engine.read_present(pid, start, end):
        for at in range(0, len(data), engine.PAGE):
            if address + at not in known and data[at:at + engine.PAGE].strip(b"\0"):
                return False
    return True


def stock(_):
    """Without PCLIVE_SOCKET: plain CRIU."""
    subject = Subject("stock", big=8)
    subject.finish(subject.dump_command(socket=None), "dump")
    wait_for("the dumped tree's end", lambda: (reap(), not any(map(alive, subject.tree)))[1])
    subject.finish(subject.restore_command(socket=None), "restore")
    subject.verify()
    assert "pclive: " not in subject.log("dump") + subject.log("restore")
    subject.end()


def other_user(_):
    """Limits of another user's processes are read without CAP_SYS_RESOURCE."""
    subject = Subject("other-user", big=8, user=65534)
    subject.finish(subject.dump_command(socket=None), "dump")
    reap()
    subject.end()


def staged(huge, big=48):
    subject = Subject("staged", big=big)
    before = subject.snapshot()
    tasks = subject.dump()
    assert sorted(t.vpid for t in tasks) == subject.tree
    images = sum(os.path.getsize(p) for p in glob.glob(f"{subject.folder}/images/pages-*.img"))
    assert images < 8 << 20, f"{images} bytes of handled pages in the images"
    process, link = subject.start_restore()
    stage = Stage(link)
    for task in tasks:
        stage.add(task, huge)
    link.go(stage.areas)
    marks = link.until(engine.HELD)
    assert {"go", "forked", "mappings-begin", "mappings-end", "held"} <= set(marks), marks
    assert all(alive(pid) for pid in subject.tree)
    after = {pid: engine.private_mappings(pid) for pid in subject.tree}
    compare(before, after, tasks)
    for pid in subject.tree:
        assert not glob_sockets(pid), f"a descriptor of the overlay leaked into {pid}"
        with open(f"/proc/{pid}/smaps", encoding="ascii") as smaps:
            flags = [line for line in smaps if line.startswith("VmFlags")]
        assert not any(" dc" in line for line in flags), f"{pid} keeps mappings from its children"
    assert "Had to copy" not in subject.log("restore")
    assert "Force no-breakpoints restore" in subject.log("restore")
    link.send(engine.RELEASE)
    marks.update(link.until(engine.RELEASED))
    subject.finish(process, "restore")
    subject.verify()
    subject.verify()
    subject.end()
    return marks


def glob_sockets(pid):
    """Unix sockets of a process: the subject has none."""
    return [fd for fd in os.listdir(f"/proc/{pid}/fd")
            if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:") and not is_inet(pid, fd)]


def is_inet(pid, fd):
    inode = os.readlink(f"/proc/{pid}/fd/{fd}")[8:-1]
    with open("/proc/net/tcp", encoding="ascii") as tcp:
        return any(line.split()[9] == inode for line in tcp.readlines()[1:])


def staged_small_pages(_):
    staged(no_huge)


def staged_mixed_pages(_):
    staged(mixed_huge)


def staged_huge_pages(_):
    staged(all_huge)


def hold_only(_):
    """GO without areas: CRIU's own images, held until released."""
    subject = Subject("hold-only", big=8)
    assert not any(any(t.bits) for t in subject.dump(handle=False))
    process, link = subject.start_restore()
    link.go([])
    link.until(engine.HELD)
    link.send(engine.RELEASE)
    link.until(engine.RELEASED)
    subject.finish(process, "restore")
    subject.verify()
    subject.end()


def only_some_staged(which):
    """A parent that is staged with children that are not, and the other way round."""
    subject = Subject("some-staged", big=8)

    def choose(task):
        if (task.vpid == subject.root) != (which == "parent"):
            task.bits, task.handled = [False] * len(task.vmas), []

    tasks = subject.dump(choose=choose)
    process, link = subject.start_restore()
    stage = Stage(link)
    for task in tasks:
        stage.add(task)
    link.go(stage.areas)
    link.until(engine.HELD)
    link.send(engine.RELEASE)
    link.until(engine.RELEASED)
    subject.finish(process, "restore")
    subject.verify()
    subject.end()


def only_parent_staged(_):
    only_some_staged("parent")


def only_children_staged(_):
    only_some_staged("children")


def held_then(what):
    subject = Subject("held-then", big=8)
    tasks = subject.dump()
    process, link = subject.start_restore()
    stage = Stage(link)
    for task in tasks:
        stage.add(task, mixed_huge)
    link.go(stage.areas)
    link.until(engine.HELD)
    assert all(alive(pid) for pid in subject.tree)
    if what == "abort":
        link.send(engine.ABORT)
    if what == "kill":
        process.kill()
        process.wait(5)
    link.close()
    if what != "kill":
        subject.finish(process, "restore", code=1)
        assert "aborted while held" in subject.log("restore")
    wait_for("all tasks' death", lambda: (reap(), not any(map(alive, subject.tree)))[1], 5)


def abort_at_hold(_):
    """ABORT at the hold leaves no task."""
    held_then("abort")


def hang_up_at_hold(_):
    """So does an engine that dies."""
    held_then("hang up")


def killed_at_hold(_):
    """Nor does a CRIU that is killed: the tasks must not run on without the commit."""
    held_then("kill")


def abort_while_staging(_):
    subject = Subject("abort-staging", big=8)
    tasks = subject.dump()
    process, link = subject.start_restore()
    Stage(link).add(tasks[0])
    link.close()
    subject.finish(process, "restore", code=1)
    assert not any(map(alive, subject.tree))


def abort_dump(_):
    """An engine that goes away before or during the dump: the container goes on."""
    subject = Subject("abort-dump", big=8)
    for late in (False, True):
        listener = engine.listen(SOCKET)
        process = subject.dump_command()
        link = Link(listener)
        if late:
            link.send(engine.DUMP_GO)
            link.receive()
        link.close()
        subject.finish(process, "dump", code=1)
        subject.verify()
    subject.end()


def bad_requests(_):
    """What the engine asks is checked; staging goes on after a refusal, GO with nonsense ends."""
    subject = Subject("bad", big=8)
    tasks = subject.dump()
    process, link = subject.start_restore()
    base = link.window(0x7F0000000000, engine.GIB)
    for attempt in (lambda: link.drop([(base - engine.PAGE, engine.PAGE)]), lambda: link.drop([(base + 1, engine.PAGE)]),
                    lambda: link.advise([(base, 2 * engine.GIB)], 1), lambda: link.advise([(base, engine.PAGE)], 9),
                    lambda: link.window(5, engine.PAGE)):
        try:
            attempt()
        except Refused:
            continue
        raise AssertionError("a bad request was accepted")
    link.drop([(base, engine.PAGE)])
    link.go([(tasks[0].vpid, 0x7F0000000000, 0x7F0000001000, base)])
    subject.finish(process, "restore", code=1)
    assert "the images know" in subject.log("restore")
    wait_for("all tasks' death", lambda: (reap(), not any(map(alive, subject.tree)))[1], 5)
    process, link = subject.start_restore()
    base = link.window(0x7F0000000000, engine.GIB)
    link.go([(tasks[0].vpid, 0x7F0000000000, 0x7F0000001000, base + engine.PAGE)])
    subject.finish(process, "restore", code=1)
    assert "Bad staged area" in subject.log("restore")


def tracked(_):
    """A mapping under asynchronous write-protect, as the engine leaves it, is dumped; its content is read by us."""
    os.environ["SUBJECT_TRACKED"] = "1"
    subject = Subject("tracked", big=64, alone=True)
    del os.environ["SUBJECT_TRACKED"]
    tracker = take_descriptor(subject.root, 99)
    os.kill(subject.root, signal.SIGUSR2)
    wait_for("the tracker's close", lambda: not os.path.exists(f"/proc/{subject.root}/fd/99"))
    with open(f"/proc/{subject.root}/smaps", encoding="ascii") as smaps:
        assert " uw" in smaps.read(), "nothing is write-protected"
    before = subject.snapshot()
    tasks = subject.dump()
    process, link = subject.start_restore()
    stage = Stage(link)
    for task in tasks:
        stage.add(task, mixed_huge)
    link.go(stage.areas)
    link.until(engine.HELD)
    compare(before, {pid: engine.private_mappings(pid) for pid in subject.tree}, tasks)
    link.send(engine.RELEASE)
    link.until(engine.RELEASED)
    subject.finish(process, "restore")
    subject.verify()
    subject.end()
    os.close(tracker)


def take_descriptor(pid, number):
    """pidfd_getfd: a copy of another process's descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    taken = libc.syscall(438, pidfd, number, 0)
    os.close(pidfd)
    assert taken >= 0, os.strerror(ctypes.get_errno())
    return taken


def speed_of(huge):
    subject = Subject("speed", big=1024, alone=True)
    tasks = subject.dump()
    process, link = subject.start_restore()
    stage = Stage(link)
    for task in tasks:
        stage.add(task, huge)
    link.go(stage.areas)
    marks = link.until(engine.HELD)
    link.send(engine.RELEASE)
    marks.update(link.until(engine.RELEASED))
    subject.finish(process, "restore")
    subject.verify()
    subject.end()
    names = ("forked", "mappings-begin", "mappings-end", "held", "released")
    times = ", ".join(f"{name} {(marks[name][0] - marks['go'][0]) / 1e6:.1f}" for name in names)
    print(f"      1 GiB, {huge.__name__}: ms from GO: {times}; moving memory took {marks['mappings-end'][1]:.2f} ms")
    return marks


def no_huge(_start, _end):
    return []


def speed(_):
    """1 GiB from GO to HELD, with huge pages and without."""
    speed_of(no_huge)
    marks = speed_of(all_huge)
    assert marks["mappings-end"][1] < 100, "moving huge pages is not cheap: are they split or copied?"


TESTS = [stock, other_user, hold_only, staged_small_pages, staged_mixed_pages, staged_huge_pages, only_parent_staged,
         only_children_staged, abort_at_hold, hang_up_at_hold, killed_at_hold, abort_while_staging, abort_dump, bad_requests, tracked, speed]


def main():
    engine.become_subreaper()
    wanted = sys.argv[4:]
    passed = failed = 0
    for test in TESTS:
        if wanted and test.__name__ not in wanted:
            continue
        began = time.monotonic()
        try:
            test(None)
        except Exception:  # a failed test must not stop the others
            failed += 1
            print(f"FAIL  {test.__name__}\n{traceback.format_exc()}")
        else:
            passed += 1
            print(f"ok    {test.__name__} ({time.monotonic() - began:.1f} s)")
        sys.stdout.flush()
        while Subject.made:  # a failed test leaves its tree
            Subject.made.pop().end()
        reap()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
