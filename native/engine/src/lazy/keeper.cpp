// SPDX-License-Identifier: Apache-2.0
#include "lazy/keeper.hpp"

#include "control/error.hpp"
#include "proc/pidfd.hpp"
#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace pclive::lazy {
namespace {

constexpr int kDeathMs = 5000;

void killAll(const Fd *watched, size_t count) noexcept {
    for (size_t i = 0; i < count; i++)
        syscall(SYS_pidfd_send_signal, watched[i].get(), SIGKILL, nullptr, 0);
    for (size_t i = 0; i < count; i++) {
        pollfd death{watched[i].get(), POLLIN, 0};
        poll(&death, 1, kDeathMs);
    }
}

// After the fork of a process with threads: nothing but system calls.
[[noreturn]] void keep(int engine, const Fd *watched, size_t count) {
    prctl(PR_SET_NAME, "pclive-keeper");
    pollfd end{engine, POLLIN, 0};
    while (poll(&end, 1, -1) < 0 && errno == EINTR) {
    }
    killAll(watched, count);
    _exit(0);
}

} // namespace

Keeper::Keeper(const std::vector<int> &pids) : engine_(openProcess(getpid())) {
    for (int pid : pids)
        if (Fd fd = openProcess(pid); fd)
            watched_.push_back(std::move(fd));
    if (!engine_)
        throw systemError("internal", "pidfd_open", errno);
    long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
    if (pid < 0)
        throw systemError("internal", "cannot start a keeper", errno);
    if (pid == 0)
        keep(engine_.get(), watched_.data(), watched_.size());
    pid_ = static_cast<pid_t>(pid);
}

Keeper::~Keeper() {
    if (pid_)
        killAll(watched_.data(), watched_.size());
    standDown();
}

void Keeper::standDown() noexcept {
    if (!pid_)
        return;
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
}

} // namespace pclive::lazy
