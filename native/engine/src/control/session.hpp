// SPDX-License-Identifier: Apache-2.0
// What a role (source, destination, checkpoint) offers to the control loop, and what it gets from it.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace pclive {

using Json = nlohmann::json;

/// Takes events for the shim; safe to use from any thread.
class Events {
  public:
    virtual ~Events() = default;
    /// Writes one event line: {"event": name, "t": now (CLOCK_REALTIME, ns, as a string), ...fields}.
    virtual void emit(const std::string &name, Json fields = Json::object()) noexcept = 0;
};

/// One role of the engine. The control loop answers `hello` and `exit` itself; all other commands come here.
///
/// Every request runs on a thread of its own, so handle() may simply block, and several calls may be under
/// way at once (abort beside final, dump-go beside final): a session does its own locking. Nothing here need
/// clean up for the sake of the process's end: EOF on the control descriptor ends the engine by _exit().
class Session {
  public:
    virtual ~Session() = default;
    /// Carries out `command`; the result's fields become the answer's fields.
    /// Throws Error (any other exception is reported with code "internal"). Unknown command: throw
    /// unknownCommand(command).
    virtual Json handle(const std::string &command, const Json &arguments) = 0;
    /// Makes every call of handle() that is under way, and every later one, fail soon with code "aborted",
    /// and undoes what the role has done. Idempotent; called for `abort` and for `exit`.
    virtual void abort() noexcept = 0;
};

/// Implemented in src/source/, src/dest/, src/checkpoint/, src/restore/, src/archive/ and src/measure/.
/// `events` outlives the session.
std::unique_ptr<Session> makeSourceSession(Events &events);
std::unique_ptr<Session> makeCheckpointSession(Events &events);
std::unique_ptr<Session> makeDestinationSession(Events &events);
std::unique_ptr<Session> makeRestoreSession(Events &events);
std::unique_ptr<Session> makeArchiveSession(Events &events);
std::unique_ptr<Session> makeMeasureSession(Events &events);

/// What this kernel lets the source do; implemented in src/control/features.cpp.
struct Features {
    bool uffdWpAsync = false; ///< userfaultfd write-protect, asynchronous mode
    bool softDirty = false;   ///< soft-dirty bits in /proc/PID/pagemap
    bool pagemapScan = false; ///< ioctl PAGEMAP_SCAN
};
Features probeFeatures() noexcept;

} // namespace pclive
