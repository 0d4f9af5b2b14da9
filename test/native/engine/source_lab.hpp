// SPDX-License-Identifier: Apache-2.0
// Processes to be migrated: this program started again, in a cgroup that can be frozen.
#pragma once

#include "control/fd.hpp"
#include "proc/procfs.hpp"
#include "source_check.hpp"

#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <sys/wait.h>
#include <thread>

namespace sourcetest {

using namespace pclive;
using namespace std::chrono_literals;

/// A cgroup (version 2) of our own; what is left in it is killed at the end.
class Cgroup {
  public:
    Cgroup() {
        std::ifstream mounts("/proc/self/mounts");
        for (std::string line; std::getline(mounts, line);) {
            std::istringstream words(line);
            std::string device, where, type;
            words >> device >> where >> type;
            if (type == "cgroup2")
                dir_ = where + "/pclive-source-test-" + std::to_string(getpid());
        }
        std::error_code error;
        if (dir_.empty() || !std::filesystem::create_directory(dir_, error))
            throw Skip{"no cgroup of version 2 can be made here"};
    }
    ~Cgroup() {
        write("cgroup.kill", "1");
        for (int i = 0; i < 200 && ::rmdir(dir_.c_str()) != 0; i++) {
            while (::waitpid(-1, nullptr, WNOHANG) > 0)
                ;
            std::this_thread::sleep_for(10ms);
        }
    }
    [[nodiscard]] std::string procs() const { return dir_ + "/cgroup.procs"; }
    void add(pid_t pid) const { write("cgroup.procs", std::to_string(pid)); }
    void freeze() const {
        write("cgroup.freeze", "1");
        for (int i = 0; i < 2000; i++) {
            std::stringstream events;
            events << std::ifstream(dir_ + "/cgroup.events").rdbuf();
            if (events.str().find("frozen 1") != std::string::npos)
                return;
            std::this_thread::sleep_for(1ms);
        }
        throw std::runtime_error("the cgroup does not freeze");
    }
    void thaw() const { write("cgroup.freeze", "0"); }

  private:
    void write(const char *file, const std::string &text) const { std::ofstream(dir_ + "/" + file) << text; }
    std::string dir_;
};

/// This program as "PROGRAM target MODE": prints "ready", later lines at its will, and ends when stdin does.
class Target {
  public:
    explicit Target(const std::string &mode, const Cgroup *cgroup = nullptr) {
        int in[2], out[2], start[2];
        check(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(start, O_CLOEXEC) == 0,
              "pipes");
        pid_ = fork();
        if (pid_ == 0) {
            char byte;
            dup2(in[0], 0);
            dup2(out[1], 1);
            close(start[1]);
            if (::read(start[0], &byte, 1) != 1) // until it is in its cgroup
                _exit(1);
            execl("/proc/self/exe", "source-target", "target", mode.c_str(), nullptr);
            _exit(127);
        }
        for (int fd : {in[0], out[1], start[0]})
            close(fd);
        in_ = Fd(in[1]);
        out_ = Fd(out[0]);
        if (cgroup)
            cgroup->add(pid_);
        check(write(start[1], "s", 1) == 1, "start the target");
        close(start[1]);
        check(line() == "ready", "the target begins");
    }
    ~Target() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
    }
    Target(const Target &) = delete;
    Target &operator=(const Target &) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    /// The next line it prints; empty at its end. Throws when nothing comes for ten seconds.
    std::string line() {
        std::string text;
        for (char letter; next(letter) && letter != '\n';)
            text += letter;
        return text;
    }
    void say(const std::string &text) const {
        check(::write(in_.get(), text.data(), text.size()) > 0, "talk to the target");
    }
    /// Closes its stdin and waits for its end; the status as of waitpid().
    int finish() {
        in_.reset();
        int status = -1;
        for (int i = 0; i < 10000; i++) {
            if (waitpid(pid_, &status, WNOHANG) == pid_) {
                pid_ = -1;
                return status;
            }
            std::this_thread::sleep_for(1ms);
        }
        throw std::runtime_error("the target does not end");
    }
    /// Waits until its main thread is in `state` (of /proc/PID/stat).
    void awaitState(char state) const {
        for (int i = 0; i < 5000; i++) {
            auto stat = readThreadStat(pid_, pid_);
            if (stat && stat->state == state)
                return;
            std::this_thread::sleep_for(1ms);
        }
        throw std::runtime_error(std::string("the target does not reach the state ") + state);
    }

  private:
    bool next(char &letter) const {
        pollfd readable{out_.get(), POLLIN, 0};
        check(poll(&readable, 1, 10000) == 1, "the target answers");
        return ::read(out_.get(), &letter, 1) == 1;
    }
    pid_t pid_ = -1;
    Fd in_, out_;
};

} // namespace sourcetest
