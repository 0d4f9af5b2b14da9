// SPDX-License-Identifier: Apache-2.0
// Keeps the books about the container's memory: which process has which areas, which pages were received.
// Everything that the peer says is held against the books before the store sees it.
#pragma once

#include "dest/store.hpp"
#include <atomic>
#include <map>
#include <memory>
#include <mutex>

namespace pclive::dest {

class Ledger {
  public:
    explicit Ledger(Store &store) : store_(store) {}

    /// One frame about processes. Errors: "protocol"; "inconsistent" when at the end of the final round a
    /// page that the source has was never received; whatever the store throws.
    void take(const wire::Frame &frame);
    /// PAGES that was decoded already.
    void takePages(const wire::PageList &list);
    /// The same beside other calls of this one, but of no other method. False when these pages must be taken
    /// alone; nothing was done then.
    bool takePagesBeside(const wire::PageList &list);

    /// Whether a frame type is for take().
    static bool concerns(wire::FrameType type) noexcept;

    [[nodiscard]] bool complete() const { return phase_ == Phase::complete; }
    [[nodiscard]] bool empty() const { return processes_.empty(); }
    [[nodiscard]] bool inFinal() const { return phase_ == Phase::final; }
    [[nodiscard]] uint32_t rounds() const { return rounds_; }
    /// Bytes of memory held; from any thread.
    [[nodiscard]] uint64_t stagedBytes() const noexcept { return stagedPages_ * wire::kPageSize; }
    [[nodiscard]] std::vector<Process *> processes();

  private:
    enum class Phase { rounds, final, complete };
    struct Entry {
        Process process;
        std::vector<wire::AreaEntry> nextAreas; // of LAYOUT frames whose last is still to come
        bool layoutOpen = false;
        std::vector<wire::RangeEntry>
            present; // of PRESENT frames; a list, so that the peer pays for what it costs us
        enum class Present { none, open, all } presentState = Present::none;
    };

    Entry &entry(wire::FrameType type, uint32_t vpid);
    void begin(const wire::Frame &frame);
    void gone(const wire::Frame &frame);
    void layout(const wire::Frame &frame);
    void absent(const wire::Frame &frame);
    Entry &checkPages(const wire::PageList &list);
    Store::Rest enter(Entry &entry, const wire::PageList &list);
    void roundEnd(const wire::Frame &frame);
    void finalBegin(const wire::Frame &frame);
    void present(const wire::Frame &frame);
    void finalEnd(const wire::Frame &frame);
    void reconcile(Entry &entry);
    static void checkReceived(const Process &process, Range range);
    void endRound();
    void dropRanges(Process &process, const std::vector<Range> &ranges);

    Store &store_;
    std::mutex books_; // among takePagesBeside(): all below
    std::map<uint32_t, std::unique_ptr<Entry>> processes_;
    Phase phase_ = Phase::rounds;
    uint32_t rounds_ = 0;
    uint64_t roundPages_ = 0;   // received since the last ROUND_END or FINAL_BEGIN
    uint64_t presentPages_ = 0; // in PRESENT frames
    std::atomic<uint64_t> stagedPages_ = 0;
};

} // namespace pclive::dest
