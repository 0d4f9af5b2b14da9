// SPDX-License-Identifier: Apache-2.0
// The shim's end of the engine: JSON lines over a stream socket.
#pragma once

#include "control/session.hpp"
#include <atomic>
#include <mutex>
#include <string>

namespace pclive {

class ControlLoop final : public Events {
  public:
    explicit ControlLoop(int fd) : fd_(fd) {}

    void emit(const std::string &name, Json fields) noexcept override;

    /// Serves requests until the descriptor ends or `exit` was answered. Requests may still be running then:
    /// the caller ends the process.
    void run(Session &session);

    static constexpr size_t kMaxLine = 64u << 10;
    static constexpr int kMaxRequests = 64; // under way at once

  private:
    void serveLine(Session &session, const std::string &line);
    Json execute(Session &session, const std::string &command, const Json &request);
    void answer(Session &session, const Json &id, const std::string &command, const Json &request) noexcept;
    void refuse(const Json &id, const std::string &code, const std::string &message,
                const std::string &remedy) noexcept;
    void write(const Json &line) noexcept;

    int fd_;
    std::mutex mutex_;
    std::atomic<int> running_ = 0;
    std::atomic<bool> broken_ = false;
    bool exit_ = false; // reader only
};

} // namespace pclive
