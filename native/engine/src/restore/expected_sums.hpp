// SPDX-License-Identifier: Apache-2.0
// pclive.json: the check sums that an image of ours brings along. Stock CRIU does not look at it.
#pragma once

#include "control/error.hpp"
#include "restore/image_directory.hpp"
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pclive::restore {

inline constexpr const char *kSumsName = "pclive.json";

struct FileSum {
    uint64_t bytes;
    uint32_t crc32c;
};

/// Of a pages image: one sum for each `chunk` bytes, the last chunk being what is left.
struct PagesSums {
    uint64_t bytes, chunk;
    std::vector<uint32_t> crc32c;
};

struct Sums {
    std::map<std::string, FileSum> files;
    std::map<std::string, PagesSums> pages;
};

/// None when the image has none. Error "images" when they cannot be read.
std::optional<Sums> readSums(const ImageDirectory &directory);

/// Holds the files against their sums; pages images by their sizes alone. Error "images".
void checkFiles(const ImageDirectory &directory, const Sums &sums);

/// Error "images": the contents of `path` are not what they were.
Error wrongSum(const std::string &path);

} // namespace pclive::restore
