// SPDX-License-Identifier: Apache-2.0
#include "support/model_source.hpp"

#include <algorithm>
#include <chrono>

namespace pclive::testing {

using namespace wire;
using std::chrono::seconds;

void fillPage(uint8_t *page, uint64_t seed) {
    for (size_t i = 0; i < kPageSize / sizeof seed; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(page + i * sizeof seed, &seed, sizeof seed);
    }
}

void ModelSource::begin(uint32_t vpid) {
    processes_[vpid] = {};
    streams_.position++;
    channel_.send(FrameType::process, ProcessFrame{vpid, 0});
}

void ModelSource::gone(uint32_t vpid) {
    processes_.erase(vpid);
    streams_.position++;
    channel_.send(FrameType::processGone, ProcessFrame{vpid, 0});
}

void ModelSource::layout(uint32_t vpid, std::vector<AreaEntry> areas) {
    auto &process = processes_[vpid];
    process.areas = std::move(areas);
    std::erase_if(process.pages, [&](const auto &page) {
        return std::none_of(process.areas.begin(), process.areas.end(), [&](const AreaEntry &area) {
            return page.first >= area.start && page.first < area.end;
        });
    });
    streams_.position += sendLayout(channel_, vpid, process.areas);
}

void ModelSource::sendRun(uint32_t vpid, uint64_t start, uint32_t pages) {
    std::vector<uint8_t> data(pages * kPageSize);
    for (uint32_t i = 0; i < pages; i++) {
        processes_[vpid].pages[start + i * kPageSize] = ++seed_;
        fillPage(&data[i * kPageSize], seed_);
    }
    RunEntry run{start, pages, 0};
    iovec part{data.data(), data.size()};
    auto &others = streams_.pages;
    auto &channel = others.empty() ? channel_ : *others[seed_ % others.size()];
    sendPages(channel, vpid, std::span(&run, 1), std::span<const iovec>(&part, 1), streams_.position);
    roundPages_ += pages;
}

void ModelSource::write(uint32_t vpid, uint64_t start, uint64_t end) {
    while (start < end) {
        uint64_t stop = std::min(end, (start & ~(kMaxData - 1)) + kMaxData);
        sendRun(vpid, start, static_cast<uint32_t>((stop - start) / kPageSize));
        start = stop;
    }
}

void ModelSource::forget(uint32_t vpid, uint64_t start, uint64_t end) {
    auto &pages = processes_[vpid].pages;
    pages.erase(pages.lower_bound(start), pages.lower_bound(end));
}

void ModelSource::absent(uint32_t vpid, uint64_t start, uint64_t end) {
    forget(vpid, start, end);
    RangeEntry range{start, end};
    streams_.position += sendRanges(channel_, FrameType::absent, vpid, std::span(&range, 1));
}

RoundAckFrame ModelSource::endRound() {
    streams_.position++;
    channel_.send(FrameType::roundEnd, RoundEndFrame{++round_, 0, roundPages_});
    roundPages_ = 0;
    return channel_.expect<RoundAckFrame>(FrameType::roundAck, after(seconds(20)));
}

void ModelSource::beginFinal() {
    streams_.position++;
    channel_.send(FrameType::finalBegin);
    roundPages_ = 0;
}

uint64_t ModelSource::endFinal() {
    uint64_t present = 0;
    for (const auto &[vpid, process] : processes_) {
        std::vector<RangeEntry> ranges;
        for (const auto &[address, seed] : process.pages) {
            bool border = std::any_of(process.areas.begin(), process.areas.end(),
                                      [at = address](const AreaEntry &area) { return area.start == at; });
            if (!ranges.empty() && ranges.back().end == address && !border)
                ranges.back().end += kPageSize;
            else
                ranges.push_back({address, address + kPageSize});
        }
        present += process.pages.size();
        streams_.position += sendRanges(channel_, FrameType::present, vpid, ranges);
    }
    streams_.position++;
    channel_.send(FrameType::finalEnd, FinalEndFrame{roundPages_, present});
    return channel_.expect<FinalAckFrame>(FrameType::finalAck, after(seconds(20))).stagedBytes;
}

} // namespace pclive::testing
