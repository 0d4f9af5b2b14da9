// SPDX-License-Identifier: Apache-2.0
// Holds all pages of an image against their sums, before any of them is used.
#pragma once

#include "restore/layers.hpp"
#include <atomic>

namespace pclive::restore {

/// Files without sums are passed over. Errors: "images" names the file; "aborted" when `stop` was set.
void verifyPages(const std::vector<PagesFile> &files, unsigned threads, const std::atomic<bool> &stop);

} // namespace pclive::restore
