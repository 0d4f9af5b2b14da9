// SPDX-License-Identifier: Apache-2.0
// Makes small images as CRIU would write them.
#pragma once

#include "image/pagemap.hpp"
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pclive::testing {

/// A directory of images before it is written: file names and contents.
using ImageFiles = std::map<std::string, std::string>;

struct MadeVma {
    uint64_t start, end;
    uint32_t flags, status;
};

inline constexpr uint32_t kPlainStatus = 0x201; // regular, anonymous, private
inline constexpr uint32_t kPlainFlags = 0x22;   // MAP_PRIVATE | MAP_ANONYMOUS

/// "field number: value" of a protobuf message.
void putNumber(std::string &message, uint32_t field, uint64_t value);
void putBytes(std::string &message, uint32_t field, const std::string &bytes);

/// An image file with these messages.
std::string imageFile(uint32_t magic, const std::vector<std::string> &messages);

void addInventory(ImageFiles &files, uint64_t version = 2);
/// Processes as {pid, parent}.
void addTree(ImageFiles &files, const std::vector<std::pair<uint32_t, uint32_t>> &processes);
void addCore(ImageFiles &files, uint32_t pid, uint64_t machine);
void addMm(ImageFiles &files, uint32_t pid, const std::vector<MadeVma> &vmas, uint32_t exe = 1);
/// The pagemap and its pages image; the latter's contents are `pages`.
void addPages(ImageFiles &files, uint32_t pid, const image::Pagemap &pagemap, const std::string &pages);
/// pclive.json over all that is there.
void addSums(ImageFiles &files, uint64_t chunk);

/// Writes into an existing directory what is not empty; removes nothing.
void writeImage(const std::string &directory, const ImageFiles &files);

/// `bytes` that look like nothing else, made from `seed`.
std::string noise(size_t bytes, uint64_t seed);

/// The machine that this test runs on, as CRIU counts.
uint64_t ownMachine();

} // namespace pclive::testing
