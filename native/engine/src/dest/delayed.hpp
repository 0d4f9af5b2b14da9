// SPDX-License-Identifier: Apache-2.0
// Delayed restoration: pages that came in the first rounds wait in a file until it is worth putting them in
// place.
#pragma once

#include "control/fd.hpp"
#include "dest/extents.hpp"
#include "dest/staging.hpp"
#include <atomic>

namespace pclive::dest {

/// Each page has one place in the file, whatever is written into it how often; the kernel keeps as much of
/// the file in memory as it likes. What comes after staging has begun goes into its place at once.
class DelayedStore final : public Store {
  public:
    /// `after`: the round with which the waiting ends. `folder`: on a disk; the file has no name there. Error
    /// "files".
    DelayedStore(StagingStore &staging, uint32_t after, const std::string &folder);

    Rest write(Process &process, const wire::PageList &pages) override;
    bool ready(const Process &process, const wire::PageList &pages) override;
    void drop(Process &process, std::span<const Range> ranges) override;
    void roundEnded(std::span<Process *const> processes, uint32_t round) override;

    /// The waiting is over; from any thread.
    void begin() noexcept { staging_ = true; }
    /// Puts some megabytes in place, while nobody else uses the store. False when nothing is to be done now.
    bool stageSome();
    /// Bytes that wait; from any thread.
    [[nodiscard]] uint64_t bytes() const noexcept { return pages_ * wire::kPageSize; }

  private:
    struct Waiting {
        Process *process = nullptr; // lives as long as it has pages
        PageSet pages;
        Extents places;    // of pages that wait no longer too: a place is never given to another page
        uint64_t next = 0; // below it everything is staged
    };
    Rest keep(Process &process, const wire::PageList &pages);
    void forget(Process &process, Range range);
    bool stageBlock(Waiting &waiting, uint64_t block);
    void readBack(const Waiting &waiting, Range range, uint8_t *to);

    StagingStore &target_;
    const uint32_t after_;
    Fd file_;
    uint64_t limit_, end_ = 0;            // of the file
    std::map<uint32_t, Waiting> waiting_; // by vpid; without those that have no pages
    std::atomic<uint64_t> pages_ = 0;
    std::atomic<bool> staging_;
    std::vector<uint8_t> buffer_;
};

} // namespace pclive::dest
