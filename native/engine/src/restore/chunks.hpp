// SPDX-License-Identifier: Apache-2.0
// The order in which the pages of an image are read: file after file, in chunks that several threads share.
#pragma once

#include "protocol.h"
#include "restore/plan.hpp"
#include <span>

namespace pclive::restore {

/// Of a pages file without sums; with sums, their own chunks.
inline constexpr uint64_t kChunkBytes = 4u << 20;

/// Bytes of a pages file and where they belong in CRIU's process; never over the bounds of a block of 2 MiB.
struct Piece {
    uint64_t offset, remote;
    uint32_t size;
};

struct Chunk {
    size_t file;
    uint64_t begin, end; ///< in the file
    size_t first, count; ///< of the pieces
    const uint32_t *sum; ///< of all its bytes, or null
};

struct Chunks {
    std::vector<Piece> pieces;
    std::vector<uint64_t> blocks; ///< addresses in CRIU's process of blocks that are worth a huge page
    std::vector<Chunk> list;
};

/// `areas`: those of the plan, in its order, with their places in CRIU's process.
Chunks makeChunks(const Layers &layers, const Plan &plan, std::span<const pclo_area> areas);

} // namespace pclive::restore
