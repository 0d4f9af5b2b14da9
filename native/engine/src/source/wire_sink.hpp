// SPDX-License-Identifier: Apache-2.0
// A round that goes to the peer: the caller's thread reads, the sender's thread sends.
#pragma once

#include "source/memory_reader.hpp"
#include "source/page_sender.hpp"
#include "source/sink.hpp"

namespace pclive {

class WireSink final : public Sink {
  public:
    WireSink(wire::Channel &channel, const Pace &pace)
        : channel_(channel), cpu_(pace.cpu), sentBefore_(channel.bytesSent()), sender_(channel, pace) {}

    void begin(uint32_t vpid) override;
    void gone(uint32_t vpid) override;
    void layout(uint32_t vpid, std::span<const wire::AreaEntry> areas) override;
    void absent(uint32_t vpid, const Ranges &ranges) override;
    void copy(ProcessCopy &process, const Ranges &wanted) override;
    /// When the peer has confirmed it: what it has staged, and what it has still to do.
    Json endRound(uint32_t round) override;
    void beginFinal() override;
    void present(const ProcessCopy &process, const Ranges &held) override;
    void endFinal() override;
    [[nodiscard]] SinkTotals totals() const override;

  private:
    void readBatch(ProcessCopy &process, MemoryReader &reader, std::span<const wire::RunEntry> runs,
                   Ranges &absent);

    wire::Channel &channel_;
    CpuLimit *cpu_;
    const uint64_t sentBefore_;
    uint64_t presentPages_ = 0;
    std::atomic<uint64_t> zeroPages_ = 0, droppedPages_ = 0;
    std::atomic<double> readMs_ = 0;
    PageSender sender_;
};

} // namespace pclive
