// SPDX-License-Identifier: Apache-2.0
// The engine's end of the overlay protocol for a restore: CRIU waits in it and does what it is told.
#pragma once

#include "control/error.hpp"
#include "control/fd.hpp"
#include "dest/page_set.hpp"
#include "protocol.h"
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace pclive::dest {

struct Mark {
    std::string name;
    uint64_t realtimeNs;
    double ms;
};

/// Told on the overlay's own thread; must not call the overlay's waiting methods.
struct OverlayEvents {
    std::function<void(int pid)> connected;
    std::function<void(const Mark &)> mark;
    std::function<void(const std::vector<int> &pids)> held; ///< of the restored tasks
    std::function<void()> released;
    std::function<void(const Error &)> lost; ///< once, when it is gone before RELEASED
};

class Overlay {
  public:
    /// Listens on a unix socket at `path` (at most 107 bytes; an old socket there is replaced). Error
    /// "listen".
    Overlay(const std::string &path, OverlayEvents events);
    ~Overlay();
    Overlay(const Overlay &) = delete;
    Overlay &operator=(const Overlay &) = delete;

    /// Waits until CRIU is there. Errors: "timeout", "overlay-lost", "aborted".
    int waitConnected(std::chrono::milliseconds time);

    // Commands before GO; each waits for its answer, at most ten seconds. Errors: "overlay", "overlay-lost",
    // "aborted", "timeout".
    uint64_t window(Range source);                 ///< the staging's address in CRIU's process
    void drop(std::span<const pclo_range> ranges); ///< addresses in CRIU's process
    void advise(std::span<const pclo_advise> advice);
    /// A userfaultfd of CRIU's process, not set up yet. Also error "no-lazy": it cannot be had here.
    Fd userfaultfd();

    /// Hands over what was staged; empty: hold only. `flags`: of enum pclo_go.
    void go(std::span<const pclo_area> areas, uint32_t flags = 0);
    /// Resumes the held tasks; returns when CRIU has confirmed. Errors: "not-held", and as above.
    void release(std::chrono::milliseconds time);
    /// Makes CRIU give up and all calls fail. Idempotent, does not wait.
    void abort() noexcept;

  private:
    enum class State { waiting, staging, going, held, releasing, released, lost };
    struct Answer {
        uint16_t type;
        uint32_t arg;
        std::vector<uint8_t> payload;
    };

    void run() noexcept;
    bool acceptOne();
    void readLoop();
    void dispatch(const pclo_header &header, std::vector<uint8_t> payload);
    void lose(const Error &error) noexcept;
    void sendLocked(pclo_type type, const void *payload, size_t size, uint32_t arg = 0);
    Answer command(pclo_type type, const void *payload, size_t size, uint16_t expected);
    void moveTo(State from, State to);
    [[noreturn]] void refuseState(const char *what) const;

    OverlayEvents events_;
    std::string path_;
    Fd listener_, wake_;

    std::mutex commandMutex_; // one command at a time
    std::mutex mutex_;        // of all below
    std::condition_variable changed_;
    State state_ = State::waiting;
    Fd connection_;
    int pid_ = 0;
    std::optional<Answer> answer_;
    std::optional<Error> failure_;
    std::thread thread_;
};

} // namespace pclive::dest
