// SPDX-License-Identifier: Apache-2.0
#include "track/page_set.hpp"
#include <bit>

namespace pclive {
namespace {

constexpr uint64_t kBlockBytes = 512 * kPageSize;

/// Calls `visit(block, word, mask)` for every word of every block that the range touches.
template <class Visit> void eachWord(const Range &range, uint64_t block, Visit visit) {
    uint64_t base = block * kBlockBytes;
    uint64_t first = (std::max(range.start, base) - base) / kPageSize;
    uint64_t last = (std::min(range.end, base + kBlockBytes) - base) / kPageSize;
    for (uint64_t word = first / 64; word * 64 < last; word++) {
        uint64_t mask = ~0ull;
        if (word * 64 < first)
            mask &= ~0ull << (first - word * 64);
        if (last < word * 64 + 64)
            mask &= ~0ull >> (word * 64 + 64 - last);
        visit(word, mask);
    }
}

void appendBits(Ranges &result, uint64_t base, uint64_t bits) {
    while (bits) {
        auto first = static_cast<unsigned>(std::countr_zero(bits));
        auto length = static_cast<unsigned>(std::countr_one(bits >> first));
        appendRange(result, base + first * kPageSize, base + (first + length) * kPageSize);
        bits &= length == 64 ? 0 : ~(((1ull << length) - 1) << first);
    }
}

} // namespace

void PageSet::insert(const Range &range) {
    for (uint64_t block = range.start / kBlockBytes; block * kBlockBytes < range.end; block++) {
        auto &bits = blocks_[block];
        eachWord(range, block, [&](uint64_t word, uint64_t mask) {
            pages_ += static_cast<uint64_t>(std::popcount(mask & ~bits[word]));
            bits[word] |= mask;
        });
    }
}

void PageSet::take(const Range &range, Ranges &taken) {
    for (auto at = blocks_.lower_bound(range.start / kBlockBytes);
         at != blocks_.end() && at->first * kBlockBytes < range.end;) {
        auto &[block, bits] = *at;
        eachWord(range, block, [&, &bits = bits, block = block](uint64_t word, uint64_t mask) {
            appendBits(taken, block * kBlockBytes + word * 64 * kPageSize, bits[word] & mask);
            pages_ -= static_cast<uint64_t>(std::popcount(bits[word] & mask));
            bits[word] &= ~mask;
        });
        at = bits == Bits{} ? blocks_.erase(at) : std::next(at);
    }
}

void PageSet::erase(const Range &range) {
    Ranges ignored;
    take(range, ignored);
}

Ranges PageSet::retain(const Ranges &keep) {
    Ranges taken;
    uint64_t from = 0;
    for (const auto &range : keep) {
        if (from < range.start)
            take({from, range.start}, taken);
        from = range.end;
    }
    take({from, ~0ull - kBlockBytes + 1}, taken);
    return taken;
}

// From block to block that there is: what a process reserves may be terabytes.
void PageSet::missing(const Range &range, Ranges &result) const {
    uint64_t from = range.start;
    for (auto at = blocks_.lower_bound(range.start / kBlockBytes);
         at != blocks_.end() && at->first * kBlockBytes < range.end; ++at) {
        uint64_t base = at->first * kBlockBytes;
        if (from < base)
            appendRange(result, from, base);
        eachWord(range, at->first, [&, &bits = at->second](uint64_t word, uint64_t mask) {
            appendBits(result, base + word * 64 * kPageSize, mask & ~bits[word]);
        });
        from = base + kBlockBytes;
    }
    if (from < range.end)
        appendRange(result, from, range.end);
}

bool PageSet::anyIn(const Range &range) const {
    bool any = false;
    for (auto at = blocks_.lower_bound(range.start / kBlockBytes);
         !any && at != blocks_.end() && at->first * kBlockBytes < range.end; ++at)
        eachWord(range, at->first,
                 [&, &bits = at->second](uint64_t word, uint64_t mask) { any = any || (bits[word] & mask); });
    return any;
}

Ranges PageSet::ranges() const {
    Ranges result;
    for (const auto &[block, bits] : blocks_)
        for (uint64_t word = 0; word < bits.size(); word++)
            appendBits(result, block * kBlockBytes + word * 64 * kPageSize, bits[word]);
    return result;
}

} // namespace pclive
