// SPDX-License-Identifier: Apache-2.0
// The processes of an image and their mappings: inventory.img, pstree.img, core-<pid>.img, mm-<pid>.img.
#pragma once

#include "restore/image_directory.hpp"
#include <cstdint>
#include <optional>
#include <vector>

namespace pclive::restore {

/// A mapping as CRIU describes it; `status` holds the PCLO_VMA_ bits of the overlay protocol and others.
struct Vma {
    uint64_t start, end;
    uint64_t shmid; ///< of file mappings: which file
    uint32_t prot, flags, status;
};

struct Mm {
    uint32_t exeFileId = 0;
    std::vector<Vma> vmas; ///< sorted, not overlapping; guard ranges are left out
};

struct ProcessImage {
    uint32_t pid, parent; ///< inside of the container; parent 0: none
    std::optional<Mm> mm; ///< zombies have none
};

/// Error "images" when it is damaged, of a format that is newer than we know, or of another architecture;
/// "unsupported" when it is too old for us.
std::vector<ProcessImage> readProcesses(const ImageDirectory &directory);

} // namespace pclive::restore
