// SPDX-License-Identifier: Apache-2.0
// A round that goes to the peer: the caller's thread reads, the sender's threads send.
#pragma once

#include "source/memory_reader.hpp"
#include "source/page_sender.hpp"
#include "source/sink.hpp"

namespace pclive {

class WireSink final : public Sink {
  public:
    WireSink(wire::Streams &streams, const Pace &pace)
        : streams_(streams), cpu_(pace.cpu), sentBefore_(streams.bytesSent()), sender_(streams, pace) {}

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

    /// A frame that is one structure, over the main connection.
    template <class... Payload> void send(wire::FrameType type, const Payload &...payload) {
        streams_.main->send(type, payload...);
        streams_.position++;
    }

    wire::Streams &streams_;
    CpuLimit *cpu_;
    const uint64_t sentBefore_;
    uint64_t presentPages_ = 0;
    std::atomic<uint64_t> zeroPages_ = 0, droppedPages_ = 0;
    std::atomic<double> readMs_ = 0;
    PageSender sender_;
};

} // namespace pclive
