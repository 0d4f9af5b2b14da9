// SPDX-License-Identifier: Apache-2.0
// The engine as the shim sees it: a process, and JSON lines over a socket.
#pragma once

#include "control/fd.hpp"
#include "testing.hpp"
#include <map>
#include <sys/types.h>
#include <thread>

namespace pclive::testing {

class EngineProcess {
  public:
    /// Starts $PCLIVE_ENGINE in this role; skips the case when there is none.
    explicit EngineProcess(const std::string &role);
    ~EngineProcess(); // closes the socket and waits for the end

    /// Sends a request and waits for its answer; throws the Error in it.
    Json request(const std::string &command, Json arguments = Json::object());
    /// Writes anything.
    void writeLine(const std::string &line);
    /// Closes our end; the exit status of the engine, which must end within five seconds.
    int finish();

    Recorder events;

  private:
    void read();
    Fd socket_;
    pid_t pid_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<int, Json> answers_;
    int nextId_ = 1;
    std::thread reader_;
};

} // namespace pclive::testing
