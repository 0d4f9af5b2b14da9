// SPDX-License-Identifier: Apache-2.0
#include "control/loop.hpp"

#include "control/arguments.hpp"
#include "wire/frames.hpp"
#include <cerrno>
#include <cstdio>
#include <sys/socket.h>
#include <thread>
#include <time.h>

#ifndef PCLIVE_VERSION
#define PCLIVE_VERSION "unknown"
#endif

namespace pclive {
namespace {

std::string realtimeNow() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return std::to_string(static_cast<uint64_t>(now.tv_sec) * 1000000000u +
                          static_cast<uint64_t>(now.tv_nsec));
}

Json helloAnswer() {
    Features features = probeFeatures();
    return {{"version", PCLIVE_VERSION},
            {"wire", wire::kWireVersion},
            {"features",
             {{"uffdWpAsync", features.uffdWpAsync},
              {"softDirty", features.softDirty},
              {"pagemapScan", features.pagemapScan}}}};
}

} // namespace

void ControlLoop::write(const Json &line) noexcept {
    try {
        std::string text = line.dump(-1, ' ', true, Json::error_handler_t::replace) + "\n";
        std::lock_guard lock(mutex_);
        for (size_t done = 0; done < text.size() && !broken_;) {
            ssize_t put = send(fd_, text.data() + done, text.size() - done, MSG_NOSIGNAL);
            if (put < 0 && errno == EINTR)
                continue;
            if (put < 0)
                broken_ = true; // the reader sees the end too
            else
                done += static_cast<size_t>(put);
        }
    } catch (const std::exception &error) {
        std::fprintf(stderr, "cannot write to the shim: %s\n", error.what());
    }
}

void ControlLoop::emit(const std::string &name, Json fields) noexcept {
    fields["event"] = name;
    if (!fields.contains("t"))
        fields["t"] = realtimeNow();
    write(fields);
}

void ControlLoop::run(Session &session) {
    std::string pending;
    char buffer[16384];
    while (!exit_ && !broken_) {
        ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        pending.append(buffer, static_cast<size_t>(got));
        size_t begin = 0, end;
        while (!exit_ && (end = pending.find('\n', begin)) != std::string::npos) {
            serveLine(session, pending.substr(begin, end - begin));
            begin = end + 1;
        }
        pending.erase(0, begin);
        if (pending.size() > kMaxLine) {
            std::fprintf(stderr, "a request line is longer than %zu bytes\n", kMaxLine);
            return;
        }
    }
}

void ControlLoop::serveLine(Session &session, const std::string &line) {
    Json request = Json::parse(line, nullptr, false);
    if (!request.is_object() || !request.contains("id") || !request["id"].is_number_integer()) {
        std::fprintf(stderr, "ignored a line that is no request\n");
        return;
    }
    Json id = request["id"];
    if (!request.contains("cmd") || !request["cmd"].is_string())
        return refuse(id, "invalid", "a request needs \"cmd\"", "");
    std::string command = request["cmd"];
    if (command == "exit") {
        session.abort();
        exit_ = true;
        write({{"id", id}, {"ok", true}});
        return;
    }
    if (command == "abort") { // never behind a limit
        session.abort();
        write({{"id", id}, {"ok", true}});
        return;
    }
    if (running_ >= kMaxRequests)
        return refuse(id, "busy", "too many requests are under way", "wait for answers");
    running_++;
    std::thread([this, &session, id, command, request] {
        answer(session, id, command, request);
        running_--;
    }).detach();
}

Json ControlLoop::execute(Session &session, const std::string &command, const Json &request) {
    return command == "hello" ? helloAnswer() : session.handle(command, request);
}

void ControlLoop::answer(Session &session, const Json &id, const std::string &command,
                         const Json &request) noexcept {
    try {
        Json result = execute(session, command, request);
        if (!result.is_object())
            result = Json::object();
        result["id"] = id;
        result["ok"] = true;
        write(result);
    } catch (const Error &error) {
        refuse(id, error.code(), error.what(), error.remedy());
    } catch (const std::exception &error) {
        refuse(id, "internal", error.what(), "");
    }
}

void ControlLoop::refuse(const Json &id, const std::string &code, const std::string &message,
                         const std::string &remedy) noexcept {
    write({{"id", id}, {"ok", false}, {"error", {{"code", code}, {"message", message}, {"remedy", remedy}}}});
}

} // namespace pclive
