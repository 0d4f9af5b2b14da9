// SPDX-License-Identifier: Apache-2.0
// pclive.json: sizes and sums of an image's files, so that a restore can tell that nothing of them was lost.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pclive::image {

inline constexpr const char *kSumsFile = "pclive.json";
inline constexpr uint64_t kSumChunk = 4u << 20; ///< bytes of a pages image under one sum

struct ImageSums {
    struct File {
        uint64_t bytes = 0;
        uint32_t crc = 0;
    };
    struct Pages {
        uint64_t bytes = 0;
        std::vector<uint32_t> crcs; ///< one for each kSumChunk bytes, the last one shorter
    };
    std::string criu; ///< version of the CRIU that made the image
    std::map<std::string, File> files;
    std::map<std::string, Pages> pages;
};

std::string encodeSums(const ImageSums &sums);

} // namespace pclive::image
