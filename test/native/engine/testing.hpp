// SPDX-License-Identifier: Apache-2.0
// A few lines that run named cases, and what several test programs of the engine share.
#pragma once

#include "control/session.hpp"
#include "wire/channel.hpp"
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace pclive::testing {

struct Case {
    const char *name;
    std::function<void()> body;
};

/// Runs all cases (or those whose name contains argv[1]); prints "ok"/"FAILED" lines and "N passed, N
/// failed"; the exit code.
int runCases(const std::vector<Case> &cases, int argc, char **argv);

/// Thrown by a case that cannot be run here; counted as neither.
struct Skip : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] void failCheck(const char *expression, const char *file, int line, const std::string &more = {});
#define CHECK(expression)                                                                                    \
    do {                                                                                                     \
        if (!(expression))                                                                                   \
            pclive::testing::failCheck(#expression, __FILE__, __LINE__);                                     \
    } while (0)

/// Checks that `body` throws an Error with this code; returns its text.
std::string throwsCode(const std::string &code, const std::function<void()> &body);

/// A temporary directory, taken away at the end.
class TempDir {
  public:
    TempDir();
    ~TempDir();
    TempDir(const TempDir &) = delete;
    TempDir &operator=(const TempDir &) = delete;
    [[nodiscard]] std::string path(const std::string &name = {}) const;

  private:
    std::string path_;
};

/// A whole file, as it is.
void writeText(const std::string &path, const std::string &text);
std::string readText(const std::string &path);

/// Two authorities and the hosts that they vouch for, made with the openssl command once in a program's life.
struct Certificates {
    TempDir directory;
    Certificates();
    /// The identity of host `name` ("a" or "b", of authority 1; "x", which calls itself "a", of authority 2).
    [[nodiscard]] wire::Identity identity(const std::string &name, const std::string &peer) const;
};
const Certificates &certificates();

/// Takes the events of a session and lets a test wait for them.
class Recorder final : public Events {
  public:
    void emit(const std::string &name, Json fields) noexcept override;
    /// The first event of this name that was not yet taken; fails the case after `seconds`.
    Json wait(const std::string &name, int seconds = 60);
    [[nodiscard]] bool has(const std::string &name);

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Json> events_;
};

/// Runs a shell command, fails the case when it fails.
void shell(const std::string &command);

} // namespace pclive::testing
