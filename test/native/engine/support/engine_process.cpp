// SPDX-License-Identifier: Apache-2.0
#include "support/engine_process.hpp"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>

namespace pclive::testing {

EngineProcess::EngineProcess(const std::string &role) {
    const char *path = std::getenv("PCLIVE_ENGINE");
    if (!path)
        throw Skip("no engine (PCLIVE_ENGINE)");
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    socket_ = Fd(pair[0]);
    Fd theirs(pair[1]);
    pid_ = fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
        if (pair[1] == 3)
            fcntl(3, F_SETFD, 0);
        else
            dup2(pair[1], 3);
        execl(path, path, role.c_str(), nullptr);
        _exit(127);
    }
    reader_ = std::thread([this] { read(); });
}

void EngineProcess::read() {
    std::string pending;
    char buffer[4096];
    ssize_t got;
    while ((got = recv(socket_.get(), buffer, sizeof buffer, 0)) > 0) {
        pending.append(buffer, static_cast<size_t>(got));
        for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
            Json line = Json::parse(pending.substr(0, end));
            if (line.contains("event")) {
                events.emit(line["event"], line);
                continue;
            }
            std::lock_guard lock(mutex_);
            answers_[line["id"]] = line;
            changed_.notify_all();
        }
    }
}

void EngineProcess::writeLine(const std::string &line) {
    std::string text = line + "\n";
    CHECK(send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
}

Json EngineProcess::request(const std::string &command, Json arguments) {
    std::unique_lock lock(mutex_);
    int id = nextId_++;
    arguments["id"] = id;
    arguments["cmd"] = command;
    writeLine(arguments.dump());
    if (!changed_.wait_for(lock, std::chrono::seconds(60), [&] { return answers_.count(id) != 0; }))
        throw std::runtime_error("no answer to " + command);
    Json answer = answers_[id];
    if (answer["ok"] != true)
        throw Error(answer["error"]["code"], answer["error"]["message"]);
    return answer;
}

int EngineProcess::finish() {
    shutdown(socket_.get(), SHUT_RDWR);
    if (reader_.joinable())
        reader_.join();
    for (int tries = 0; pid_ > 0 && tries < 500; tries++) {
        int status;
        if (waitpid(pid_, &status, WNOHANG) == pid_) {
            pid_ = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        usleep(10000);
    }
    return -1;
}

EngineProcess::~EngineProcess() {
    if (finish() == -1 && pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
}

} // namespace pclive::testing
