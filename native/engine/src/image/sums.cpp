// SPDX-License-Identifier: Apache-2.0
#include "image/sums.hpp"
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>

namespace pclive::image {
namespace {

std::string hex(uint32_t crc) {
    char text[9];
    std::snprintf(text, sizeof text, "%08x", crc);
    return text;
}

} // namespace

std::string encodeSums(const ImageSums &sums) {
    utsname host{};
    ::uname(&host);
    auto files = nlohmann::json::object(), pages = nlohmann::json::object();
    for (const auto &[name, file] : sums.files)
        files[name] = {{"bytes", file.bytes}, {"crc32c", hex(file.crc)}};
    for (const auto &[name, file] : sums.pages) {
        auto crcs = nlohmann::json::array();
        for (auto crc : file.crcs)
            crcs.push_back(hex(crc));
        pages[name] = {{"bytes", file.bytes}, {"chunk", kSumChunk}, {"crc32c", std::move(crcs)}};
    }
    nlohmann::json document{
        {"version", 1},           {"criu", sums.criu},         {"arch", host.machine},
        {"kernel", host.release}, {"files", std::move(files)}, {"pages", std::move(pages)}};
    return document.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

} // namespace pclive::image
