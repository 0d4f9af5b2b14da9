// SPDX-License-Identifier: Apache-2.0
#include "proc/inject.hpp"
#include "control/userfaultfd.hpp"
#include "proc/maps.hpp"
#include "proc/pidfd.hpp"
#include "proc/procfs.hpp"
#include "proc/tracee.hpp"
#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace pclive {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPatiencePerThread = 200ms;
constexpr int kNice =
    -10; // of the child: it must not wait for others while a thread of the container stands still

struct Target {
    pid_t pid;
    std::vector<pid_t> threads; ///< candidates, the best first
    uint64_t instruction;       ///< address of a system call instruction
    bool seccomp;
    std::chrono::milliseconds
        timeout; ///< for the first stop; counted by the child, since a fork may take its time
};

/// What the child tells its parent; the descriptor comes beside it.
struct Outcome {
    TraceFailure failure = TraceFailure::unstoppable;
    int error = 0; ///< errno of the call, for TraceFailure::refused
    double stopMs = 0;
};

double milliseconds(Clock::duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
}

/// Finds a system call instruction: in the vdso, or where there is none, in any code.
std::optional<uint64_t> findSyscall(pid_t pid) {
    auto maps = parseMaps(readProc(pid, "maps"));
    std::stable_partition(maps.begin(), maps.end(),
                          [](const Mapping &mapping) { return mapping.name == "[vdso]"; });
    auto memory = openProc(pid, "mem", O_RDONLY);
    std::vector<uint8_t> code(4u << 20);
    for (const auto &mapping : maps) {
        if (!mapping.executable || mapping.name == "[vsyscall]")
            continue;
        auto size = std::min<uint64_t>(code.size(), mapping.end - mapping.start);
        ssize_t got = ::pread(memory.get(), code.data(), size, static_cast<off_t>(mapping.start));
        if (got <= 0)
            continue;
        auto end = code.begin() + got;
        auto at = std::search(code.begin(), end, arch::kSyscallInstruction.begin(),
                              arch::kSyscallInstruction.end());
        if (at != end)
            return mapping.start + static_cast<uint64_t>(at - code.begin());
    }
    return std::nullopt;
}

/// Threads that can be stopped at once come first: the leader may be a zombie, or wait for a vfork child.
std::vector<pid_t> candidates(pid_t pid) {
    std::vector<pid_t> ready, asleep;
    for (pid_t tid : listThreads(pid)) {
        auto stat = readThreadStat(pid, tid);
        if (!stat || stat->state == 'Z' || stat->state == 'X')
            continue;
        (stat->state == 'D' ? asleep : ready).push_back(tid);
    }
    ready.insert(ready.end(), asleep.begin(), asleep.end());
    if (ready.empty())
        throw ProcessGone(pid);
    return ready;
}

/// The call, the taking and the closing, while `thread` is stopped.
Outcome takeFrom(Tracee &thread, const Target &target, Fd &taken) {
    long fd = -1, closed = -1;
    if (auto failure = thread.call(target.instruction, SYS_userfaultfd,
                                   O_CLOEXEC | O_NONBLOCK | uffd::kUserModeOnly, fd);
        failure != TraceFailure::none)
        return {failure};
    if (fd < 0)
        return {TraceFailure::refused, static_cast<int>(-fd)};
    Outcome outcome{TraceFailure::none};
    taken = copyDescriptor(target.pid, static_cast<int>(fd));
    if (!taken)
        outcome = {TraceFailure::refused, errno};
    if (auto failure = thread.call(target.instruction, SYS_close, static_cast<uint64_t>(fd), closed);
        failure != TraceFailure::none)
        outcome.failure = failure;
    return outcome;
}

Outcome tryThread(const Target &target, pid_t tid, Clock::time_point end, Fd &taken) {
    auto deadline = target.threads.size() == 1 ? end : std::min(end, Clock::now() + kPatiencePerThread);
    Tracee thread(target.pid, tid, deadline);
    Outcome outcome{thread.stop(target.seccomp)};
    if (outcome.failure == TraceFailure::none)
        outcome = takeFrom(thread, target, taken);
    else if (outcome.failure == TraceFailure::denied && threadEnded(target.pid, tid))
        outcome.failure = TraceFailure::gone;
    thread.release();
    outcome.stopMs = milliseconds(Clock::now() - thread.stoppedSince());
    return outcome;
}

void sendOutcome(int socket, const Outcome &outcome, int fd) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    iovec part{const_cast<Outcome *>(&outcome), sizeof outcome};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        auto *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

/// The child. It holds no descriptor but the socket: a connection of ours must not stay open because of it.
[[noreturn]] void runChild(const Target &target, int socket) {
    ::setsid(); // a signal to our process group is not meant for it
    ::setpriority(PRIO_PROCESS, 0, kNice);
    if (::dup2(socket, 0) == 0)
        ::syscall(SYS_close_range, 1, ~0u, 0);
    auto end = Clock::now() + target.timeout;
    Outcome outcome;
    Fd taken;
    for (pid_t tid : target.threads) {
        outcome = tryThread(target, tid, end, taken);
        if (outcome.failure != TraceFailure::unstoppable && outcome.failure != TraceFailure::gone)
            break;
    }
    sendOutcome(0, outcome, outcome.failure == TraceFailure::none ? taken.get() : -1);
    ::_exit(0);
}

Outcome receiveOutcome(int socket, std::chrono::milliseconds timeout, Fd &taken) {
    Outcome outcome{TraceFailure::broken};
    pollfd readable{socket, POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(timeout.count())) != 1)
        return outcome;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec part{&outcome, sizeof outcome};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != sizeof outcome)
        return {TraceFailure::broken};
    if (auto *header = CMSG_FIRSTHDR(&message); header && header->cmsg_type == SCM_RIGHTS) {
        int fd = -1;
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
        taken = Fd(fd);
    }
    return outcome;
}

[[noreturn]] void fail(pid_t pid, const Outcome &outcome) {
    auto who = "process " + std::to_string(pid);
    switch (outcome.failure) {
    case TraceFailure::gone:
        throw ProcessGone(pid);
    case TraceFailure::unstoppable:
        throw Unstoppable(
            "attach-timeout",
            who + " could not be stopped for a moment: it sleeps uninterruptibly, or is frozen",
            "try again when the container is responsive, or migrate with the strategy stop-and-copy");
    case TraceFailure::denied:
        if (auto tracer = statusField(pid, "TracerPid"); !tracer.empty() && tracer != "0")
            throw Error("traced", who + " is traced by process " + tracer,
                        "end the debugger or tracer first");
        throw Error("attach-denied", "tracing of " + who + " is not permitted",
                    "give the shim the capability SYS_PTRACE");
    case TraceFailure::seccomp:
        throw Error("attach-seccomp", who + " has a seccomp filter that cannot be suspended",
                    "give the shim the capability SYS_ADMIN, or use the tracker soft-dirty");
    case TraceFailure::foreignAbi:
        throw Error("attach-abi", who + " runs code of another architecture (32 bit)",
                    "use the tracker soft-dirty");
    case TraceFailure::refused:
        throw systemError("attach-failed", "userfaultfd in " + who, outcome.error,
                          "check the process's limit of open files; or use the tracker soft-dirty");
    default:
        throw Error("attach-failed", who + " did not behave as expected while tracking was set up",
                    "use the tracker soft-dirty, or the strategy stop-and-copy");
    }
}

} // namespace

Injection injectUserfaultfd(pid_t pid, std::chrono::milliseconds timeout) {
    auto instruction = findSyscall(pid);
    if (!instruction) // it is about to exec or to exit
        throw Unstoppable("attach-failed",
                          "no system call instruction was found in process " + std::to_string(pid),
                          "use the tracker soft-dirty");
    Target target{pid, candidates(pid), *instruction, statusField(pid, "Seccomp") != "0", timeout};

    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        throw systemError("attach-failed", "socketpair", errno);
    Fd ours(pair[0]), theirs(pair[1]);
    pid_t child = ::fork();
    if (child < 0)
        throw systemError("attach-failed", "fork", errno);
    if (child == 0)
        runChild(target, theirs.get());
    theirs.reset();

    Fd taken;
    // The child keeps to its time by itself; killing it while a thread is borrowed would harm that thread.
    auto outcome = receiveOutcome(ours.get(), timeout + kBorrowedPatience + 1s, taken);
    if (outcome.failure == TraceFailure::broken)
        ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    if (outcome.failure != TraceFailure::none || !taken)
        fail(pid, outcome);
    return {std::move(taken), outcome.stopMs};
}

} // namespace pclive
