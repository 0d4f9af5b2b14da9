// SPDX-License-Identifier: Apache-2.0
#include "proc/tracee.hpp"
#include <csignal>
#include <linux/rseq.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace pclive {
namespace {

using namespace std::chrono_literals;

constexpr int kSyscallStop = SIGTRAP | 0x80; // by PTRACE_O_TRACESYSGOOD

constexpr uint64_t bit(int signal) {
    return 1ull << (signal - 1);
}
// Signals that a thread causes itself stay open: the kernel resets the handler of a forced signal that is
// blocked.
constexpr uint64_t kBlocked =
    ~(bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGFPE) | bit(SIGTRAP) | bit(SIGSYS));

bool readMemory(pid_t tid, uint64_t at, void *into, size_t size) {
    iovec local{into, size}, remote{reinterpret_cast<void *>(at), size};
    return ::process_vm_readv(tid, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size);
}

} // namespace

Tracee::~Tracee() {
    release();
}

TraceFailure Tracee::stop(bool suspendSeccomp) {
    unsigned long options = PTRACE_O_TRACESYSGOOD | (suspendSeccomp ? PTRACE_O_SUSPEND_SECCOMP : 0);
    if (::ptrace(PTRACE_SEIZE, tid_, 0, options) != 0) {
        if (errno == ESRCH)
            return TraceFailure::gone;
        // The option alone may have been refused: only then a plain attach succeeds.
        if (!suspendSeccomp || ::ptrace(PTRACE_SEIZE, tid_, 0, 0) != 0)
            return TraceFailure::denied;
        state_ = State::seized;
        return TraceFailure::seccomp;
    }
    state_ = State::seized;
    if (::ptrace(PTRACE_INTERRUPT, tid_, 0, 0) != 0)
        return TraceFailure::gone;
    auto failure = waitForEventStop();
    stoppedSince_ = Clock::now();
    return failure;
}

/// The thread's next stop, or why there is none. On a busy host we may not run for longer than the deadline:
/// so the last look is after it.
Tracee::Stop Tracee::wait() {
    auto begin = Clock::now();
    for (bool last = false; !last;) {
        auto now = Clock::now();
        last = now >= deadline_;
        int status = 0;
        pid_t got = ::waitpid(tid_, &status, __WALL | WNOHANG);
        if ((got < 0 && errno != EINTR) || (got == tid_ && !WIFSTOPPED(status))) {
            state_ = State::detached;
            return {TraceFailure::gone};
        }
        if (got == tid_) {
            state_ = State::stopped;
            return {TraceFailure::none, WSTOPSIG(status), status >> 16};
        }
        // Most waits are short, and the thread stands still meanwhile: look often at first.
        if (!last)
            std::this_thread::sleep_for(now - begin < 5ms ? 20us : 500us);
    }
    return {TraceFailure::unstoppable};
}

/// Waits for the stop that PTRACE_INTERRUPT causes (or a group stop, which serves as well). Signals that come
/// first are delivered as usual.
TraceFailure Tracee::waitForEventStop() {
    for (;;) {
        auto stop = wait();
        if (stop.failure != TraceFailure::none)
            return stop.failure;
        if (stop.event == PTRACE_EVENT_STOP)
            return TraceFailure::none;
        state_ = State::seized;
        auto signal = stop.signal == kSyscallStop ? 0 : stop.signal;
        if (::ptrace(PTRACE_CONT, tid_, 0, signal) != 0)
            return TraceFailure::gone;
    }
}

/// A thread stopped inside a restartable sequence must go on at its abort handler. The kernel would see to
/// that, but our detour through other code makes it forget the sequence.
void Tracee::leaveRestartableSequence() {
    __ptrace_rseq_configuration config{};
    if (::ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid_, sizeof config, &config) !=
            static_cast<long>(sizeof config) ||
        config.rseq_abi_pointer == 0)
        return;
    uint64_t at = 0;
    struct rseq_cs sequence {};
    if (!readMemory(tid_, config.rseq_abi_pointer + offsetof(struct rseq, rseq_cs), &at, sizeof at) ||
        at == 0 || !readMemory(tid_, at, &sequence, sizeof sequence))
        return;
    if (arch::instructionPointer(saved_) - sequence.start_ip < sequence.post_commit_offset)
        arch::setInstructionPointer(saved_, sequence.abort_ip);
}

/// Before the first call: remembers all that a call changes, and keeps signals away.
TraceFailure Tracee::borrow() {
    if (!arch::getRegisters(tid_, saved_) || !arch::isNative(saved_))
        return TraceFailure::foreignAbi;
    uint64_t mask = kBlocked;
    if (::ptrace(PTRACE_GETSIGMASK, tid_, sizeof savedMask_, &savedMask_) != 0 ||
        ::ptrace(PTRACE_SETSIGMASK, tid_, sizeof mask, &mask) != 0)
        return TraceFailure::broken;
    changed_ = true;
    // From here on giving up would leave the thread with registers that are not its own. What it does for us
    // cannot block, so only a starved processor makes this last.
    deadline_ = std::max(deadline_, Clock::now() + kBorrowedPatience);
    leaveRestartableSequence();
    return TraceFailure::none;
}

TraceFailure Tracee::call(uint64_t instruction, long number, uint64_t argument, long &result) {
    if (state_ != State::stopped)
        return TraceFailure::broken;
    if (!changed_)
        if (auto failure = borrow(); failure != TraceFailure::none)
            return failure;
    auto registers = arch::forSyscall(saved_, instruction, number, argument);
    if (!arch::setRegisters(tid_, registers))
        return TraceFailure::broken;
    // One stop on the way into the call, one on the way out: no signal is involved, unlike in single steps.
    for (int stops = 0; stops < 2; stops++)
        if (auto failure = runToSyscallStop(); failure != TraceFailure::none)
            return failure;
    if (!arch::getRegisters(tid_, registers))
        return TraceFailure::broken;
    result = arch::syscallResult(registers);
    return TraceFailure::none;
}

TraceFailure Tracee::runToSyscallStop() {
    for (;;) {
        state_ = State::seized;
        if (::ptrace(PTRACE_SYSCALL, tid_, 0, 0) != 0)
            return TraceFailure::gone;
        auto stop = wait();
        if (stop.failure != TraceFailure::none)
            return stop.failure;
        if (stop.signal == kSyscallStop)
            return TraceFailure::none;
        if (stop.event == PTRACE_EVENT_STOP)
            continue; // its group was stopped meanwhile; the detach lets the stop take effect
        siginfo_t info{};
        bool own = ::ptrace(PTRACE_GETSIGINFO, tid_, 0, &info) == 0 && info.si_code > 0;
        if (own) // a fault at our instruction, or syscall user dispatch: give up, the signal is not the
                 // target's
            return TraceFailure::broken;
        postponed_.push_back(stop.signal);
    }
}

/// Puts registers and mask back. The thread may be at the end of a system call, where the kernel would not
/// look whether the interrupted one has to be restarted; so one more stop is asked for, after which it does.
void Tracee::restore() {
    if (!changed_)
        return;
    changed_ = false;
    arch::setRegisters(tid_, saved_);
    ::ptrace(PTRACE_SETSIGMASK, tid_, sizeof savedMask_, &savedMask_);
    if (::ptrace(PTRACE_INTERRUPT, tid_, 0, 0) != 0)
        return;
    state_ = State::seized;
    if (::ptrace(PTRACE_CONT, tid_, 0, 0) != 0)
        return;
    waitForEventStop();
}

void Tracee::release() {
    if (state_ == State::stopped)
        restore();
    // A thread that never stopped cannot be detached; the kernel does it when our process ends.
    if (state_ == State::stopped)
        ::ptrace(PTRACE_DETACH, tid_, 0, 0);
    state_ = State::detached;
    for (int signal : postponed_)
        ::syscall(SYS_tgkill, pid_, tid_, signal);
    postponed_.clear();
}

} // namespace pclive
