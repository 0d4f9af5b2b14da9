// SPDX-License-Identifier: Apache-2.0
// Writing a whole image: CRIU's dump and the engine's pages become one standard directory.
#pragma once

#include "image/pages_writer.hpp"
#include <optional>

namespace pclive::image {

struct WriteOptions {
    std::string skeleton;              ///< CRIU's dump: complete but for pages that the engine has
    std::string to;                    ///< an empty directory
    std::string criu;                  ///< version of the CRIU that made the skeleton
    std::optional<std::string> parent; ///< where the link `parent` leads
    WriteMode mode;
};

struct WriteTotals {
    uint64_t files = 0, bytes = 0;
    uint64_t pages = 0; ///< in the pages images, those of the parent not counted
};

/// Writes files and sums, and takes care that all are on the disk before `inventory.img` appears, without
/// which CRIU takes the directory for none of its own. The skeleton is left as it is. Errors: "images" when
/// the skeleton does not fit to the pages, "no-space" and "files" with the path, "aborted".
WriteTotals writeImage(const WriteOptions &options, const std::vector<ProcessPages> &processes,
                       WriteProgress &progress);

} // namespace pclive::image
