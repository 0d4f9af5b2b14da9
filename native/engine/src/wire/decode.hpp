// SPDX-License-Identifier: Apache-2.0
// Checking what a peer sent. Every function throws Error "protocol" for whatever is not as frames.hpp says;
// whether a process is known and a page inside its areas is for the receiver of the frame to check.
#pragma once

#include "wire/channel.hpp"
#include <vector>

namespace pclive::wire {

/// Magic, type, flags, length and sequence.
void checkHeader(const FrameHeader &header, uint64_t sequence);

/// A frame that is one structure.
template <class Payload> Payload decode(const Frame &frame);

struct AreaList {
    uint32_t vpid;
    bool more;
    std::vector<AreaEntry> areas;
};
AreaList decodeLayout(const Frame &frame);

struct RangeList {
    uint32_t vpid;
    bool more;
    uint64_t pages;
    std::vector<RangeEntry> ranges;
};
/// ABSENT and PRESENT.
RangeList decodeRanges(const Frame &frame);

struct PageList {
    uint32_t vpid;
    uint64_t position;
    uint64_t pages;
    std::vector<RunEntry> runs;
    const uint8_t *data; ///< in the frame's payload, kPageSize bytes for each page
};
PageList decodePages(const Frame &frame);

struct FileBegin {
    uint64_t size;
    std::string name; ///< safe to use as a name in a directory
};
FileBegin decodeFile(const Frame &frame);

uint32_t decodeProcess(const Frame &frame); ///< PROCESS, PROCESS_GONE: the vpid
std::string decodeText(const Frame &frame); ///< ABORT; control characters replaced
Error decodeError(const Frame &frame);      ///< ERROR: the peer's code and text

/// Whether [start, end) is a page-aligned, not empty range of user addresses.
bool validRange(uint64_t start, uint64_t end) noexcept;

[[noreturn]] void malformed(FrameType type, const char *what);

template <class Payload> Payload decode(const Frame &frame) {
    static_assert(std::is_trivially_copyable_v<Payload>);
    if (frame.payload.size() != sizeof(Payload))
        malformed(frame.type, "wrong size");
    Payload payload;
    memcpy(&payload, frame.bytes().data(), sizeof payload);
    return payload;
}

} // namespace pclive::wire
