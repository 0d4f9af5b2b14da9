// SPDX-License-Identifier: Apache-2.0
// A set of pages, kept as one bitmap for each 2 MiB of address space.
#pragma once

#include "wire/frames.hpp"
#include <array>
#include <bit>
#include <map>
#include <optional>

namespace pclive::dest {

inline constexpr uint64_t kBlockBytes = 2u << 20;
inline constexpr unsigned kBlockPages = kBlockBytes / wire::kPageSize;

/// Bytes [start, end).
struct Range {
    uint64_t start, end;
    bool operator==(const Range &) const = default;
};

class PageSet {
  public:
    struct Block {
        std::array<uint64_t, kBlockPages / 64> bits{};
        bool huge = false; ///< for the owner's use: a huge page was asked for here

        [[nodiscard]] unsigned count() const {
            unsigned sum = 0;
            for (auto word : bits)
                sum += static_cast<unsigned>(std::popcount(word));
            return sum;
        }
    };

    /// Adds the pages of a page-aligned range.
    void add(Range range);
    /// Removes them.
    void remove(Range range);
    void clear() {
        blocks_.clear();
        pages_ = 0;
    }
    [[nodiscard]] uint64_t pages() const { return pages_; }
    [[nodiscard]] bool anyIn(Range range) const;
    /// The first block at `from` or above that holds a page.
    [[nodiscard]] std::optional<uint64_t> blockFrom(uint64_t from) const;

    /// Calls visit(Range) for each longest run of pages inside `within`, in address order.
    template <class Visit> void forEach(Range within, Visit visit) const;
    template <class Visit> void forEach(Visit visit) const { forEach({0, ~uint64_t(0)}, visit); }

    /// The block that begins at `address`, made when it is not there.
    Block &block(uint64_t address) { return blocks_[address]; }
    [[nodiscard]] const Block *findBlock(uint64_t address) const {
        auto found = blocks_.find(address);
        return found == blocks_.end() ? nullptr : &found->second;
    }

  private:
    using Bits = std::array<uint64_t, kBlockPages / 64>;

    /// The bits of the pages of a block that lie inside `range`.
    static Bits mask(uint64_t block, Range range);

    std::map<uint64_t, Block> blocks_; // by the address of the block's first byte
    uint64_t pages_ = 0;
};

/// Joins touching runs on their way to a visitor.
template <class Visit> class RunJoiner {
  public:
    explicit RunJoiner(Visit &visit) : visit_(visit) {}
    void finish() {
        if (run_.end)
            visit_(run_);
    }

    void bits(uint64_t address, const std::array<uint64_t, kBlockPages / 64> &bits) {
        for (size_t word = 0; word < bits.size(); word++, address += 64 * wire::kPageSize)
            for (uint64_t left = bits[word]; left;) {
                auto first = static_cast<unsigned>(std::countr_zero(left));
                auto length = static_cast<unsigned>(std::countr_one(left >> first));
                run(address + first * wire::kPageSize, length);
                left &= first + length == 64 ? 0 : ~uint64_t(0) << (first + length);
            }
    }

  private:
    void run(uint64_t start, unsigned pages) {
        if (run_.end != start) {
            finish();
            run_.start = start;
        }
        run_.end = start + pages * wire::kPageSize;
    }
    Visit &visit_;
    Range run_{0, 0};
};

template <class Visit> void PageSet::forEach(Range within, Visit visit) const {
    RunJoiner<Visit> joiner(visit);
    for (auto at = blocks_.lower_bound(within.start & ~(kBlockBytes - 1));
         at != blocks_.end() && at->first < within.end; ++at) {
        Bits bits = mask(at->first, within);
        for (size_t word = 0; word < bits.size(); word++)
            bits[word] &= at->second.bits[word];
        joiner.bits(at->first, bits);
    }
    joiner.finish();
}

} // namespace pclive::dest
