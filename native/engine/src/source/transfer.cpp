// SPDX-License-Identifier: Apache-2.0
#include "source/transfer.hpp"
#include "source/timing.hpp"
#include "wire/send.hpp"

namespace pclive {
namespace {

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

void Transfer::announce(ProcessCopy &process, const Update &update) {
    if (!process.announced)
        channel_.send(wire::FrameType::process, wire::ProcessFrame{process.vpid(), 0});
    process.announced = true;
    if (update.layoutChanged)
        wire::sendLayout(channel_, process.vpid(), update.layout);
    wire::sendRanges(channel_, wire::FrameType::absent, process.vpid(), update.absent);
    counters_.droppedPages += update.dropped;
}

void Transfer::sendPages(ProcessCopy &process, const Update &update) {
    MemoryReader reader(process.id().pid);
    Ranges absent;
    std::vector<wire::RunEntry> runs;
    size_t pages = 0;
    // A run on the wire lies in one area.
    for (auto range : splitAt(update.wanted, process.areas())) {
        while (range.start < range.end) {
            auto count = std::min<uint64_t>(pagesIn(range), wire::kMaxPagesPerFrame - pages);
            runs.push_back({range.start, static_cast<uint32_t>(count), 0});
            range.start += count * kPageSize;
            pages += count;
            if (pages < wire::kMaxPagesPerFrame)
                continue;
            readBatch(process, reader, runs, absent);
            runs.clear();
            pages = 0;
        }
    }
    if (!runs.empty())
        readBatch(process, reader, runs, absent);
    // No page is in this list and in a PAGES frame of the same round, so their order does not matter.
    counters_.droppedPages += pagesIn(absent);
    wire::sendRanges(channel_, wire::FrameType::absent, process.vpid(), absent);
}

void Transfer::readBatch(ProcessCopy &process, MemoryReader &reader, const std::vector<wire::RunEntry> &runs,
                         Ranges &absent) {
    auto batch = sender_.take();
    batch->vpid = process.vpid();
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
                counters_.zeroPages++;
            } else {
                addPage(*batch, address, contents, page == 0);
            }
        }
    for (const auto &run : batch->runs)
        process.sending({run.start, run.start + run.pages * kPageSize});
    counters_.readMs = counters_.readMs + watch.ms();
    sender_.put(std::move(batch));
}

} // namespace pclive
