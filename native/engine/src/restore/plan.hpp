// SPDX-License-Identifier: Apache-2.0
// Which memory of an image is staged, and which is left to CRIU.
#pragma once

#include "restore/layers.hpp"
#include "restore/processes.hpp"
#include "wire/frames.hpp"

namespace pclive::restore {

/// A smaller mapping, or one that holds less, is not worth a mapping of its own in the staging.
inline constexpr uint64_t kMinBytes = 256u << 10;

struct StagedProcess {
    uint32_t vpid;
    std::vector<wire::AreaEntry> areas;    ///< the mappings to be staged, sorted
    std::vector<Extent> extents;           ///< their pages, each inside of one area
    std::vector<image::PagemapEntry> left; ///< what CRIU reads: the rest of the image's pagemap
    uint32_t pagesId;
};

struct Plan {
    std::vector<StagedProcess> processes; ///< those with something to stage
    size_t count = 0;                     ///< of all processes
    uint64_t pages = 0;                   ///< of all processes
    uint64_t stagedBytes = 0;
};

/**
 * Staged are private anonymous mappings as the overlay takes them (vma_can_be_staged) that hold at least
 * kMinBytes. Left to CRIU are those that a process has just where its parent has one, too: they may be copies
 * since a fork, and CRIU shares the pages that are still equal, as the kernel did. Staged they would take the
 * memory of each copy.
 */
Plan makePlan(Layers &layers, const std::vector<ProcessImage> &processes);

} // namespace pclive::restore
