# SPDX-License-Identifier: Apache-2.0
"""CRIU is killed at some moment of a dump, again and again: the program goes on unharmed. unattended.py BUILD_DIR CRIU THREADS"""
import os
import random
import shutil
import subprocess
import sys
import time

WORK, CRIU, THREADS = sys.argv[1:4]
KILLS = 60
# CRIU's own way loses about every third of the programs; without enough hits this test shows nothing.
ENOUGH = 20
INFECTION_S = 0.008
FOLDER = os.path.join(WORK, "unattended")


def start(*arguments):
    program = subprocess.Popen(["setsid", THREADS, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, cwd="/")
    time.sleep(0.05)
    return program


def criu(action, *options):
    return subprocess.Popen([CRIU, action, "-D", FOLDER, "-o", f"{action}.log", "-v4", *options],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def log(action):
    try:
        with open(os.path.join(FOLDER, f"{action}.log"), encoding="utf8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def dump(program):
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    return criu("dump", "-t", str(program.pid), "-R")


def kill_in_dump(program, chance):
    """Returns whether CRIU was still at work."""
    dumping = dump(program)
    deadline = time.monotonic() + 20
    while "Parasite syscall_ip" not in log("dump") and dumping.poll() is None:
        assert time.monotonic() < deadline, "the dump does not begin"
    moment = time.monotonic() + chance.uniform(0, INFECTION_S)
    while time.monotonic() < moment:
        pass
    dumping.kill()
    return dumping.wait() < 0


def must_live(program, when):
    time.sleep(0.1)
    code = program.poll()
    assert code is None, f"{when}, the program ended with {code}; CRIU's last words: {log('dump').splitlines()[-2:]}"


def survives():
    chance = random.Random()
    hits = 0
    for number in range(KILLS):
        program = start("reserve") if number % 2 else start()
        try:
            hits += kill_in_dump(program, chance)
            must_live(program, f"after kill {number}")
            # And it can be dumped as if nothing had been.
            dumping = dump(program)
            assert dumping.wait(20) == 0, f"the next dump fails: {log('dump').splitlines()[-3:]}"
            must_live(program, "after the next dump")
        finally:
            program.kill()
            program.wait()
    assert hits >= ENOUGH, f"only {hits} of {KILLS} kills came in time"
    print(f"ok    {hits} kills of CRIU in a dump, nothing lost")


def restored_pid():
    program = start()
    try:
        assert dump(program).wait(20) == 0, log("dump").splitlines()[-3:]
    finally:
        program.kill()
        program.wait()
    restoring = criu("restore", "-d", "--pidfile", "pid")
    assert restoring.wait(20) == 0, log("restore").splitlines()[-3:]
    with open(os.path.join(FOLDER, "pid"), encoding="ascii") as file:
        return int(file.read())


def comes_back():
    pid = restored_pid()
    try:
        time.sleep(0.3)
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            assert file.read().rsplit(")", 1)[1].split()[0] in "SR"
    finally:
        os.kill(pid, 9)
    print("ok    what was dumped so comes back")


survives()
comes_back()
print("2 passed, 0 failed")
