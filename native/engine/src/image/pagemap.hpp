// SPDX-License-Identifier: Apache-2.0
// CRIU's image of a process's pages: pagemap-<vpid>.img, a list of address ranges, beside pages-<id>.img,
// their contents in the same order. The format is that of CRIU's images/pagemap.proto.
#pragma once

#include "control/error.hpp"
#include <cstdint>
#include <string>
#include <vector>

namespace pclive::image {

inline constexpr uint32_t kInParent = 1; ///< the contents are in the parent directory
inline constexpr uint32_t kPresent = 4;  ///< the contents are in this directory's pages image

struct PagemapEntry {
    uint64_t start;
    uint64_t pages;
    uint32_t flags; ///< kInParent, kPresent, or others of CRIU's own
};

struct Pagemap {
    uint32_t pagesId = 0;
    std::vector<PagemapEntry> entries;
};

/// The bytes of a pagemap image.
std::string encodePagemap(const Pagemap &pagemap);
/// `name` of the file, for the error "images" when it is malformed.
Pagemap decodePagemap(const std::string &bytes, const std::string &name);

} // namespace pclive::image
