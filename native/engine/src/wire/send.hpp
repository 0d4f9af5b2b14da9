// SPDX-License-Identifier: Apache-2.0
// Sending what takes more than one frame.
#pragma once

#include "wire/channel.hpp"

namespace pclive::wire {

// These two return how many frames it took.
/// LAYOUT of one process: all of its areas, sorted; split over as many frames as it takes.
uint64_t sendLayout(Channel &channel, uint32_t vpid, std::span<const AreaEntry> areas);
/// ABSENT or PRESENT: sorted, page-aligned ranges; split over as many frames as it takes.
uint64_t sendRanges(Channel &channel, FrameType type, uint32_t vpid, std::span<const RangeEntry> ranges);
/// One PAGES frame: at most kMaxPagesPerFrame pages in `runs`, their contents in `data` in the same order.
/// `position`: see PagesFrame.
void sendPages(Channel &channel, uint32_t vpid, std::span<const RunEntry> runs, std::span<const iovec> data,
               uint64_t position = 0);
/// Sends the regular file `path` under `name`; returns its size. A file that shrinks while it is read is the
/// error "file-changed"; one that cannot be read is "file".
uint64_t sendFile(Channel &channel, const std::string &name, const std::string &path);

/// Whether `name` may be the name of a file on the wire.
bool validFileName(const std::string &name) noexcept;

} // namespace pclive::wire
