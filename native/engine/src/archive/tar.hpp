// SPDX-License-Identifier: Apache-2.0
// A checkpoint's image as one stream: a tar archive, which any tar can list and unpack, compressed or not.
// pclive.json comes first, so that whoever unpacks knows the size and the sum of all that follows.
#pragma once

#include "archive/bytes.hpp"
#include <atomic>

namespace pclive::archive {

struct Progress {
    std::atomic<uint64_t> bytes = 0; ///< of the image's files
    std::atomic<bool> stopped = false;
};

struct Totals {
    uint64_t files = 0, bytes = 0;
};

/// Where the image has no sums (stock CRIU has written it), they are made first. `compress`: with zstd.
/// Errors: "images" when there is no image or it needs a parent, "files", "aborted", and those of the sink.
/// An incremental one is packed without the parent that it needs.
Totals pack(const std::string &directory, bool compress, bool incremental, ByteSink &sink,
            Progress &progress);

/// Into an empty directory. Everything is held against the sums; afterwards the image is there, whole.
/// Errors: "images" when the archive is not what was packed, "unsupported", "no-space", "files", "aborted",
/// and those of the source.
Totals unpack(ByteSource &source, const std::string &directory, Progress &progress);

} // namespace pclive::archive
