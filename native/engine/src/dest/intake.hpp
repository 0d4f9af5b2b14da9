// SPDX-License-Identifier: Apache-2.0
// What the destination does with one migration's frames, from the first page to the held container.
#pragma once

#include "control/cpu_limit.hpp"
#include "control/session.hpp"
#include "dest/collect.hpp"
#include "dest/files.hpp"
#include "dest/ledger.hpp"
#include "dest/page_streams.hpp"
#include "dest/stager.hpp"
#include "dest/staging.hpp"
#include "wire/streams.hpp"

namespace pclive::dest {

enum class Strategy { pipelined, precopy, stopAndCopy };

class Intake {
  public:
    struct Options {
        Strategy strategy;
        std::string imageDir;
        std::string overlaySocket;
        uint32_t stageAfter = 0; ///< pipelined: pages wait in a file of `spool` until the end of this round
        std::string spool;
        unsigned cpuPercent = 0; ///< in rounds; 0: no limit
    };

    /// `failed` is called on the thread of the overlay or of a stream. Errors: "files", "listen".
    Intake(Events &events, Options options, std::function<void(const Error &)> failed);

    ~Intake();

    /// Takes frames until GO, then hands over to CRIU; returns when the overlay has its GO. Errors as the
    /// parts throw.
    void run(wire::Streams &streams);

    void release() { overlay_->release(kReleaseTime); }
    void abort() noexcept;
    /// Received by the store, not yet in place.
    [[nodiscard]] uint64_t waitingBytes() const noexcept { return delayed_ ? delayed_->bytes() : 0; }
    [[nodiscard]] uint64_t stagedBytes() const noexcept { return ledger_ ? ledger_->stagedBytes() : 0; }

    static constexpr std::chrono::milliseconds kReleaseTime{30000};
    /// From images-ready (or, pipelined, from GO) until CRIU has come to the overlay.
    static constexpr std::chrono::milliseconds kRestoreTime{120000};

  private:
    OverlayEvents overlayEvents(std::function<void(const Error &)> lost);
    void takeProcesses(wire::Channel &channel, const wire::Frame &frame);
    void makeStaging();
    void answer(wire::Channel &channel, const wire::Frame &frame);
    void takeGo(wire::Channel &channel, const wire::Frame &frame);
    void handOver(wire::Channel &channel);
    void confirmFiles(wire::Channel &channel);
    void emitHeld();

    Events &events_;
    Options options_;
    CpuLimit cpu_;
    FileSink files_;
    // Of one strategy each; none for stop-and-copy.
    std::unique_ptr<ImageStore> images_;
    std::unique_ptr<StagingStore> staging_;
    std::unique_ptr<DelayedStore> delayed_; // null: nothing waits
    std::unique_ptr<Ledger> ledger_;
    Turns turns_;
    std::unique_ptr<PageStreams> pageStreams_; // none for stop-and-copy
    std::unique_ptr<Stager> stager_;           // with delayed_
    wire::Streams *streams_ = nullptr;
    std::atomic<double> restoreMs_ = 0; // placing memory after GO
    std::unique_ptr<Overlay> overlay_;  // last: its thread uses the rest
};

} // namespace pclive::dest
