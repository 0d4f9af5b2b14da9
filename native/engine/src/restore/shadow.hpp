// SPDX-License-Identifier: Apache-2.0
// The directory that CRIU restores from: links to all files of the image, and for each process whose memory
// is staged a pagemap of what is left. Its pages are "in the parent", which is the image itself: nothing is
// copied.
#pragma once

#include "restore/plan.hpp"

namespace pclive::restore {

/// `path` is an existing directory; what it holds already stays. Errors: "files", "images".
void writeShadow(const std::string &path, const ImageDirectory &image, const Plan &plan);

} // namespace pclive::restore
