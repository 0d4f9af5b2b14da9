// SPDX-License-Identifier: Apache-2.0
// Reading the wanted pages of processes and putting them on the wire.
#pragma once

#include "source/memory_reader.hpp"
#include "source/page_sender.hpp"
#include "source/process_copy.hpp"

namespace pclive {

/// What has been read so far; may be looked at from another thread.
struct TransferCounters {
    std::atomic<uint64_t> zeroPages = 0;    ///< read, but empty: never sent
    std::atomic<uint64_t> droppedPages = 0; ///< held by the peer before, and empty or unreadable now
    std::atomic<double> readMs = 0;
};

/// The pages of one round or of the final one: the caller's thread reads, the sender's thread sends.
class Transfer {
  public:
    Transfer(wire::Channel &channel, uint64_t bytesPerSecond, int nice)
        : channel_(channel), sender_(channel, bytesPerSecond, nice) {}

    /// Tells the peer of the process, its layout and what is gone.
    void announce(ProcessCopy &process, const Update &update);
    /// Reads and queues the update's pages, and tells which of them turned out to be empty. Throws
    /// ProcessGone when it ends meanwhile.
    void sendPages(ProcessCopy &process, const Update &update);
    /// Waits until all pages are handed to the connection.
    void drain() { sender_.drain(); }

    [[nodiscard]] const TransferCounters &counters() const { return counters_; }
    [[nodiscard]] uint64_t pages() const { return sender_.pages(); }
    [[nodiscard]] double sendMs() const { return sender_.sendMs(); }

  private:
    void readBatch(ProcessCopy &process, MemoryReader &reader, const std::vector<wire::RunEntry> &runs,
                   Ranges &absent);

    wire::Channel &channel_;
    TransferCounters counters_;
    PageSender sender_;
};

} // namespace pclive
