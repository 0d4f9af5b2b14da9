// SPDX-License-Identifier: Apache-2.0
// Holds all pages of an image against their sums, before any of them is used.
#pragma once

#include "restore/layers.hpp"
#include "restore/mapped_chunk.hpp"
#include <atomic>
#include <memory>
#include <vector>

namespace pclive::restore {

/// One for each file; null for what was not looked at.
using Mappings = std::vector<std::unique_ptr<MappedChunk>>;

/// Files without sums are passed over. Returns what it has mapped, for the time when nobody waits: to unmap
/// it takes a quarter of the time that it took to map and check. Errors: "images" names the file; "aborted"
/// when `stop` was set.
Mappings verifyPages(const std::vector<PagesFile> &files, unsigned threads, const std::atomic<bool> &stop);

} // namespace pclive::restore
