// SPDX-License-Identifier: Apache-2.0
// Which page comes where in a pages image: CRIU's own pages and the engine's, merged by address.
#pragma once

#include "image/page_source.hpp"
#include "image/pagemap.hpp"

namespace pclive::image {

/// A stretch of the new pages image.
struct Segment {
    enum class From : uint8_t { skeleton, process };
    uint64_t offset = 0; ///< where it begins in the new image
    uint64_t bytes = 0;
    From from = From::skeleton;
    uint64_t at = 0; ///< its offset in the skeleton's pages image, or address in the process
};

struct PagesPlan {
    std::vector<Segment> segments; ///< without a gap, from 0 to `bytes`
    uint64_t bytes = 0;

    /// A copy of `bytes` of the skeleton as they are.
    static PagesPlan copyOf(uint64_t bytes);
};

struct MergedPages {
    Pagemap pagemap;
    PagesPlan plan;
    uint64_t skeletonBytes = 0; ///< how long the skeleton's pages image must be
};

/// Where CRIU has dumped a page as well (of a mapping that it did not leave to the engine), CRIU's is taken:
/// both are of the same moment. Error "images" when the skeleton has a parent, or entries out of order.
MergedPages mergePages(const Pagemap &skeleton, const ProcessPages &process);

} // namespace pclive::image
