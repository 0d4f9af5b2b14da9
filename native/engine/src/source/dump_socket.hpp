// SPDX-License-Identifier: Apache-2.0
// The engine's end of the overlay socket at the source: CRIU's dump asks which mappings it may leave out.
#pragma once

#include "control/fd.hpp"
#include "control/session.hpp"
#include "protocol.h"
#include "source/container.hpp"
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace pclive {

/// Listens until it is destroyed. One CRIU at a time is served; a later one may come when the first has
/// ended, and needs a go() of its own.
class DumpSocket {
  public:
    /// `handlesPages` false: every mapping is left to CRIU, and no snapshot is needed.
    /// Errors: "overlay-socket".
    DumpSocket(const std::string &path, bool handlesPages, Events &events);
    ~DumpSocket();
    DumpSocket(const DumpSocket &) = delete;
    DumpSocket &operator=(const DumpSocket &) = delete;

    /// Lets CRIU look at the container; it may not even be connected yet. `lockNetwork`: and lock the network
    /// by itself, as it was told to.
    /// `holdEnd`: and keep the tasks when it is done, until end().
    void go(bool lockNetwork = false, bool holdEnd = false);
    /// Lets CRIU let go of the tasks, or kill them.
    void end() noexcept { ended_ = true; }
    /// Of the CRIU that came last; empty before.
    [[nodiscard]] std::string criuVersion();
    /// What TASK_VMAS is answered from.
    void setSnapshot(Snapshot snapshot);
    /// Breaks all connections, so that CRIU gives up, and listens no longer.
    void stop() noexcept;

  private:
    void run() noexcept;
    void serve(int socket);
    void hello(int socket);
    bool waitForGo(int socket);
    void takeGo();
    void answerTasks(int socket);
    bool keepUntilEnd(int socket);
    void answerTask(int socket, uint32_t length);
    void takeMark(int socket, uint32_t length);
    std::vector<uint8_t> handled(const pclo_task &task, const std::vector<pclo_vma> &vmas);
    bool waitReadable(int socket, int timeoutMs) const;

    Events &events_;
    const bool handlesPages_;
    std::string path_;
    Fd listener_;
    Fd wake_; ///< an eventfd: readable once go() or stop() was called
    std::mutex mutex_;
    std::optional<Snapshot> snapshot_;
    std::string criuVersion_;
    std::atomic<bool> go_ = false, lockNetwork_ = false, holdEnd_ = false, ended_ = false, stopped_ = false;
    std::thread thread_;
};

} // namespace pclive
