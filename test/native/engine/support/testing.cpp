// SPDX-License-Identifier: Apache-2.0
#include "testing.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace pclive::testing {

int runCases(const std::vector<Case> &cases, int argc, char **argv) {
    std::signal(SIGPIPE, SIG_IGN); // as the engine does
    int passed = 0, failed = 0;
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    for (const auto &test : cases) {
        if (argc > 1 && std::string(test.name).find(argv[1]) == std::string::npos)
            continue;
        try {
            test.body();
            std::printf("ok      %s\n", test.name);
            passed++;
        } catch (const Skip &skip) {
            std::printf("skipped %s: %s\n", test.name, skip.what());
        } catch (const Error &error) {
            std::printf("FAILED  %s: %s: %s\n", test.name, error.code().c_str(), error.what());
            failed++;
        } catch (const std::exception &error) {
            std::printf("FAILED  %s: %s\n", test.name, error.what());
            failed++;
        }
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed ? 1 : 0;
}

void failCheck(const char *expression, const char *file, int line, const std::string &more) {
    throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + expression +
                             (more.empty() ? "" : ": " + more));
}

std::string throwsCode(const std::string &code, const std::function<void()> &body) {
    try {
        body();
    } catch (const Error &error) {
        if (error.code() != code)
            throw std::runtime_error("expected error " + code + ", got " + error.code() + ": " +
                                     error.what());
        return error.what();
    }
    throw std::runtime_error("expected error " + code + ", got none");
}

void writeText(const std::string &path, const std::string &text) {
    std::ofstream(path, std::ios::binary) << text;
}

std::string readText(const std::string &path) {
    std::stringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

TempDir::TempDir() {
    char name[] = "/tmp/pclive-engine-XXXXXX";
    if (!mkdtemp(name))
        throw std::runtime_error("mkdtemp");
    path_ = name;
}

TempDir::~TempDir() {
    if (!std::getenv("KEEP")) // for looking at logs
        std::filesystem::remove_all(path_);
}

std::string TempDir::path(const std::string &name) const {
    return name.empty() ? path_ : path_ + "/" + name;
}

void shell(const std::string &command) {
    if (std::system(command.c_str()))
        throw std::runtime_error("failed: " + command);
}

Certificates::Certificates() {
    auto make = [this](const std::string &authority, const std::string &file, const std::string &name) {
        std::string base = directory.path(file), ca = directory.path(authority);
        shell("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout " + base +
              ".key -subj /CN=" + name + " -out " + base + ".csr 2>/dev/null && printf 'subjectAltName=DNS:" +
              name + "\\nextendedKeyUsage=serverAuth,clientAuth\\n' > " + base +
              ".ext && openssl x509 -req -in " + base + ".csr -CA " + ca + ".crt -CAkey " + ca +
              ".key -CAcreateserial -days 1 -extfile " + base + ".ext -out " + base + ".crt 2>/dev/null");
    };
    for (const char *authority : {"ca1", "ca2"}) {
        std::string base = directory.path(authority);
        shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=" +
              std::string(authority) + " -keyout " + base + ".key -out " + base + ".crt 2>/dev/null");
    }
    make("ca1", "a", "a");
    make("ca1", "b", "b");
    make("ca2", "x", "a");
}

wire::Identity Certificates::identity(const std::string &name, const std::string &peer) const {
    return {.ca = directory.path(name == "x" ? "ca2.crt" : "ca1.crt"),
            .cert = directory.path(name + ".crt"),
            .key = directory.path(name + ".key"),
            .peerName = peer,
            .migration = std::string(32, '7'),
            .token = std::string(64, 'c')};
}

const Certificates &certificates() {
    static const Certificates made;
    return made;
}

void Recorder::emit(const std::string &name, Json fields) noexcept {
    fields["event"] = name;
    std::lock_guard lock(mutex_);
    events_.push_back(std::move(fields));
    changed_.notify_all();
}

bool Recorder::has(const std::string &name) {
    std::lock_guard lock(mutex_);
    return std::any_of(events_.begin(), events_.end(),
                       [&](const Json &event) { return event["event"] == name; });
}

Json Recorder::wait(const std::string &name, int seconds) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    std::unique_lock lock(mutex_);
    for (;;) {
        for (auto event = events_.begin(); event != events_.end(); ++event)
            if ((*event)["event"] == name) {
                Json found = *event;
                events_.erase(event);
                return found;
            }
        for (const auto &event : events_)
            if (name != "error" && event["event"] == "error")
                throw std::runtime_error("waited for " + name + ", got " + event.dump());
        if (changed_.wait_until(lock, deadline) == std::cv_status::timeout)
            throw std::runtime_error("no event " + name);
    }
}

} // namespace pclive::testing
