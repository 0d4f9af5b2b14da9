// SPDX-License-Identifier: Apache-2.0
#include "source/wire_sink.hpp"
#include "source/batches.hpp"
#include "source/timing.hpp"
#include "wire/send.hpp"

namespace pclive {
namespace {

using namespace std::chrono_literals;

// For a peer that is alive but slow; a silent one is noticed by the channel.
constexpr auto kAckTimeout = 10min;

/// `begins`: the page starts a new run even if it follows the last one.
void addPage(PageBatch &batch, uint64_t address, uint8_t *contents, bool begins) {
    batch.pages++;
    if (!begins && !batch.runs.empty() &&
        batch.runs.back().start + batch.runs.back().pages * kPageSize == address)
        batch.runs.back().pages++;
    else
        batch.runs.push_back({address, 1, 0});
    auto *last = batch.data.empty() ? nullptr : &batch.data.back();
    if (last && static_cast<uint8_t *>(last->iov_base) + last->iov_len == contents)
        last->iov_len += kPageSize;
    else
        batch.data.push_back({contents, kPageSize});
}

} // namespace

void WireSink::begin(uint32_t vpid) {
    send(wire::FrameType::process, wire::ProcessFrame{vpid, 0});
}

/// Before the first page of a round, so that none of the process is under way.
void WireSink::gone(uint32_t vpid) {
    send(wire::FrameType::processGone, wire::ProcessFrame{vpid, 0});
}

void WireSink::layout(uint32_t vpid, std::span<const wire::AreaEntry> areas) {
    streams_.position += wire::sendLayout(*streams_.main, vpid, areas);
}

void WireSink::absent(uint32_t vpid, const Ranges &ranges) {
    streams_.position += wire::sendRanges(*streams_.main, wire::FrameType::absent, vpid, ranges);
}

void WireSink::copy(ProcessCopy &process, const Ranges &wanted) {
    MemoryReader reader(process.id().pid);
    Ranges absent;
    // A run on the wire lies in one area.
    eachBatch(splitAt(wanted, process.areas()),
              [&](std::span<const wire::RunEntry> runs) { readBatch(process, reader, runs, absent); });
    // No page is in this list and in a PAGES frame of the same round, so their order does not matter.
    droppedPages_ += pagesIn(absent);
    this->absent(process.vpid(), absent);
}

void WireSink::readBatch(ProcessCopy &process, MemoryReader &reader, std::span<const wire::RunEntry> runs,
                         Ranges &absent) {
    if (cpu_)
        cpu_->pace();
    auto batch = sender_.take();
    batch->vpid = process.vpid();
    batch->position = streams_.position;
    uint8_t *contents = batch->buffer();
    Stopwatch watch;
    PageFlags unreadable;
    try {
        unreadable = reader.read(runs, contents);
    } catch (...) {
        sender_.put(std::move(batch)); // empty: only given back
        throw;
    }
    size_t index = 0;
    for (const auto &run : runs)
        for (uint64_t page = 0; page < run.pages; page++, index++, contents += kPageSize) {
            uint64_t address = run.start + page * kPageSize;
            if (unreadable[index] || isZeroPage(contents)) {
                process.empty({address, address + kPageSize}, absent);
                zeroPages_++;
            } else {
                addPage(*batch, address, contents, page == 0);
            }
        }
    for (const auto &run : batch->runs)
        process.sending({run.start, run.start + run.pages * kPageSize});
    readMs_ = readMs_ + watch.ms();
    sender_.put(std::move(batch));
}

Json WireSink::endRound(uint32_t round) {
    sender_.drain();
    send(wire::FrameType::roundEnd, wire::RoundEndFrame{round, 0, sender_.pages()});
    auto ack =
        streams_.main->expect<wire::RoundAckFrame>(wire::FrameType::roundAck, wire::after(kAckTimeout));
    if (ack.round != round)
        throw Error("protocol", "the peer confirmed round " + std::to_string(ack.round) + " instead of " +
                                    std::to_string(round));
    return {{"stagedBytes", ack.stagedBytes}, {"backlogBytes", ack.backlogBytes}};
}

void WireSink::beginFinal() {
    send(wire::FrameType::finalBegin);
}

void WireSink::present(const ProcessCopy &process, const Ranges &held) {
    presentPages_ += pagesIn(held);
    sender_.drain();
    streams_.position += wire::sendRanges(*streams_.main, wire::FrameType::present, process.vpid(), held);
}

void WireSink::endFinal() {
    send(wire::FrameType::finalEnd, wire::FinalEndFrame{sender_.pages(), presentPages_});
    streams_.main->expect<wire::FinalAckFrame>(wire::FrameType::finalAck, wire::after(kAckTimeout));
}

SinkTotals WireSink::totals() const {
    return {.pages = sender_.pages(),
            .zeroPages = zeroPages_,
            .droppedPages = droppedPages_,
            .wireBytes = streams_.bytesSent() - sentBefore_,
            .readMs = readMs_,
            .sendMs = sender_.sendMs()};
}

} // namespace pclive
