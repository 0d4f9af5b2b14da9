// SPDX-License-Identifier: Apache-2.0
#include "restore/chunks.hpp"

#include "dest/page_set.hpp"
#include <algorithm>

namespace pclive::restore {
namespace {

using dest::kBlockBytes;

// A block gets a huge page when so much of it is filled; the rest costs memory until the container uses it.
constexpr uint64_t kHugeFrom = kBlockBytes / 4;

struct Placed {
    size_t file;
    Piece piece;
};

/// Collects the pieces of one process in address order, and which blocks they fill.
class Cutter {
  public:
    Cutter(std::vector<Placed> &pieces, std::vector<uint64_t> &blocks) : pieces_(pieces), blocks_(blocks) {}

    void area(const pclo_area &area) {
        finishBlock();
        area_ = area;
        shift_ = area.staged - area.start;
    }
    void extent(const Extent &extent) {
        for (uint64_t done = 0; done < extent.size;) {
            uint64_t address = extent.address + done, block = address & ~(kBlockBytes - 1);
            if (block != block_)
                startBlock(block);
            uint64_t size = std::min(extent.size - done, block + kBlockBytes - address);
            filled_ += size;
            pieces_.push_back(
                {extent.file, {extent.offset + done, address + shift_, static_cast<uint32_t>(size)}});
            done += size;
        }
    }
    void finishBlock() {
        // The mapping is moved alone: a huge page must not reach into the next one.
        bool inside = block_ >= area_.start && block_ + kBlockBytes <= area_.end;
        if (filled_ >= kHugeFrom && inside)
            blocks_.push_back(block_ + shift_);
        filled_ = 0;
        block_ = ~uint64_t(0);
    }

  private:
    void startBlock(uint64_t block) {
        finishBlock();
        block_ = block;
    }
    std::vector<Placed> &pieces_;
    std::vector<uint64_t> &blocks_;
    pclo_area area_{};
    uint64_t shift_ = 0, block_ = ~uint64_t(0), filled_ = 0;
};

void cut(const StagedProcess &process, std::span<const pclo_area> areas, std::vector<Placed> &pieces,
         std::vector<uint64_t> &blocks) {
    Cutter cutter(pieces, blocks);
    auto extent = process.extents.begin();
    for (const auto &area : areas) {
        cutter.area(area);
        for (; extent != process.extents.end() && extent->address < area.end; ++extent)
            cutter.extent(*extent);
    }
    cutter.finishBlock();
}

/// A piece that crosses the end of a chunk is cut there.
void splitAt(std::vector<Placed> &pieces, const Layers &layers) {
    std::vector<Placed> more;
    for (auto &[file, piece] : pieces) {
        const auto *sums = layers.files()[file].sums;
        uint64_t chunk = sums ? sums->chunk : kChunkBytes;
        for (;;) {
            uint64_t room = chunk - piece.offset % chunk;
            if (piece.size <= room)
                break;
            Piece front = piece;
            front.size = static_cast<uint32_t>(room);
            more.push_back({file, front});
            piece.offset += room;
            piece.remote += room;
            piece.size -= static_cast<uint32_t>(room);
        }
    }
    pieces.insert(pieces.end(), more.begin(), more.end());
}

/// With sums every chunk is read, whether it holds pieces or not.
void addChunks(Chunks &result, const std::vector<Placed> &pieces, size_t file, const PagesFile &pages) {
    auto at = std::lower_bound(pieces.begin(), pieces.end(), file,
                               [](const Placed &one, size_t wanted) { return one.file < wanted; });
    uint64_t size = pages.sums ? pages.sums->chunk : kChunkBytes;
    for (uint64_t begin = 0; begin < pages.size; begin += size) {
        auto first = static_cast<size_t>(at - pieces.begin());
        uint64_t end = std::min(begin + size, pages.size);
        while (at != pieces.end() && at->file == file && at->piece.offset < end)
            ++at;
        size_t count = static_cast<size_t>(at - pieces.begin()) - first;
        const uint32_t *sum = pages.sums ? &pages.sums->crc32c[begin / size] : nullptr;
        if (sum || count)
            result.list.push_back({file, begin, end, first, count, sum});
    }
}

} // namespace

Chunks makeChunks(const Layers &layers, const Plan &plan, std::span<const pclo_area> areas) {
    Chunks result;
    std::vector<Placed> pieces;
    for (const auto &process : plan.processes) {
        cut(process, areas.first(process.areas.size()), pieces, result.blocks);
        areas = areas.subspan(process.areas.size());
    }
    splitAt(pieces, layers);
    std::sort(pieces.begin(), pieces.end(), [](const Placed &a, const Placed &b) {
        return a.file != b.file ? a.file < b.file : a.piece.offset < b.piece.offset;
    });
    for (size_t file = 0; file < layers.files().size(); file++)
        addChunks(result, pieces, file, layers.files()[file]);
    result.pieces.reserve(pieces.size());
    for (const auto &placed : pieces)
        result.pieces.push_back(placed.piece);
    return result;
}

} // namespace pclive::restore
