// SPDX-License-Identifier: Apache-2.0
#include "dest/page_set.hpp"

#include <algorithm>

namespace pclive::dest {

PageSet::Bits PageSet::mask(uint64_t block, Range range) {
    Bits bits{};
    uint64_t low = std::max(range.start, block), high = std::min(range.end, block + kBlockBytes);
    if (low >= high)
        return bits;
    auto first = static_cast<unsigned>((low - block) / wire::kPageSize);
    auto last = static_cast<unsigned>((high - block) / wire::kPageSize); // not included
    for (unsigned word = first / 64; word * 64 < last; word++) {
        uint64_t value = ~uint64_t(0);
        if (word * 64 < first)
            value &= ~uint64_t(0) << (first - word * 64);
        if (last < (word + 1) * 64)
            value &= ~uint64_t(0) >> ((word + 1) * 64 - last);
        bits[word] = value;
    }
    return bits;
}

void PageSet::add(Range range) {
    for (uint64_t at = range.start & ~(kBlockBytes - 1); at < range.end; at += kBlockBytes) {
        Block &here = blocks_[at];
        unsigned before = here.count();
        Bits bits = mask(at, range);
        for (size_t word = 0; word < bits.size(); word++)
            here.bits[word] |= bits[word];
        pages_ += here.count() - before;
    }
}

void PageSet::remove(Range range) {
    auto at = blocks_.lower_bound(range.start & ~(kBlockBytes - 1));
    while (at != blocks_.end() && at->first < range.end) {
        unsigned before = at->second.count();
        Bits bits = mask(at->first, range);
        for (size_t word = 0; word < bits.size(); word++)
            at->second.bits[word] &= ~bits[word];
        unsigned now = at->second.count();
        pages_ -= before - now;
        at = now ? std::next(at) : blocks_.erase(at);
    }
}

bool PageSet::anyIn(Range range) const {
    for (auto at = blocks_.lower_bound(range.start & ~(kBlockBytes - 1));
         at != blocks_.end() && at->first < range.end; ++at) {
        Bits bits = mask(at->first, range);
        for (size_t word = 0; word < bits.size(); word++)
            if (bits[word] & at->second.bits[word])
                return true;
    }
    return false;
}

std::optional<uint64_t> PageSet::blockFrom(uint64_t from) const {
    for (auto at = blocks_.lower_bound(from); at != blocks_.end(); ++at)
        if (at->second.count())
            return at->first;
    return std::nullopt;
}

} // namespace pclive::dest
