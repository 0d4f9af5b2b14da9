// SPDX-License-Identifier: Apache-2.0
#include "wire/decode.hpp"

#include "wire/send.hpp"
#include <algorithm>

namespace pclive::wire {
namespace {

constexpr uint32_t kMaxPid = 1u << 22; // PID_MAX_LIMIT of 64-bit kernels
constexpr uint64_t kMaxFileSize = 1ull << 50;

bool knownType(uint8_t type) {
    return (type >= static_cast<uint8_t>(FrameType::hello) &&
            type <= static_cast<uint8_t>(FrameType::abort)) ||
           (type >= static_cast<uint8_t>(FrameType::helloAck) &&
            type <= static_cast<uint8_t>(FrameType::error));
}

void checkPid(FrameType type, uint32_t vpid) {
    if (vpid < 1 || vpid > kMaxPid)
        malformed(type, "impossible pid");
}

/// A frame's first structure, which names a process and counts the entries that follow.
template <class Head, class Entry> Head listHead(const Frame &frame, bool mayHaveMore) {
    Head head;
    if (frame.payload.size() < sizeof head)
        malformed(frame.type, "too short");
    memcpy(&head, frame.bytes().data(), sizeof head);
    checkPid(frame.type, head.vpid);
    if (head.count > kMaxRangesPerFrame || head.count * sizeof(Entry) > frame.payload.size() - sizeof head)
        malformed(frame.type, "wrong count");
    if ((frame.flags & ~kFlagMore) || (frame.flags && !mayHaveMore))
        malformed(frame.type, "wrong flags");
    return head;
}

template <class Entry, class Head> std::vector<Entry> entries(const Frame &frame, const Head &head) {
    std::vector<Entry> list(head.count);
    if (head.count)
        memcpy(list.data(), frame.bytes().data() + sizeof head, head.count * sizeof(Entry));
    return list;
}

/// Bytes of the frame behind its entries.
template <class Entry, class Head> size_t rest(const Frame &frame, const Head &head) {
    return frame.payload.size() - sizeof head - head.count * sizeof(Entry);
}

template <class Entry> uint64_t checkSorted(FrameType type, const std::vector<Entry> &list) {
    uint64_t before = 0, pages = 0;
    for (const auto &entry : list) {
        if (!validRange(entry.start, entry.end) || entry.start < before)
            malformed(type, "bad range");
        before = entry.end;
        pages += (entry.end - entry.start) / kPageSize;
    }
    return pages;
}

std::string printable(const char *text, size_t size) {
    std::string result(text, std::min<size_t>(size, 4096));
    for (auto &letter : result)
        if (static_cast<unsigned char>(letter) < 32 || static_cast<unsigned char>(letter) > 126)
            letter = '?';
    return result;
}

} // namespace

void malformed(FrameType type, const char *what) {
    throw Error("protocol", "malformed frame of type " + std::to_string(static_cast<int>(type)) + ": " + what,
                "install the same version of PCLive on both hosts");
}

bool validRange(uint64_t start, uint64_t end) noexcept {
    return start >= kPageSize && start < end && end <= kMaxAddress && start % kPageSize == 0 &&
           end % kPageSize == 0;
}

void checkHeader(const FrameHeader &header, uint64_t sequence) {
    auto type = static_cast<FrameType>(header.type);
    if (header.magic != kMagic)
        malformed(type, "wrong magic");
    if (!knownType(header.type))
        malformed(type, "unknown type");
    if (header.flags & ~kFlagMore)
        malformed(type, "unknown flags");
    if (header.reserved)
        malformed(type, "reserved bits are set");
    if (header.length > kMaxPayload)
        malformed(type, "too long");
    if (header.sequence != sequence)
        malformed(type, "out of sequence");
}

AreaList decodeLayout(const Frame &frame) {
    auto head = listHead<ListFrame, AreaEntry>(frame, true);
    if (rest<AreaEntry>(frame, head))
        malformed(frame.type, "wrong size");
    AreaList list{head.vpid, (frame.flags & kFlagMore) != 0, entries<AreaEntry>(frame, head)};
    checkSorted(frame.type, list.areas);
    for (const auto &area : list.areas)
        if ((area.flags & ~kAreaFlags) || area.reserved)
            malformed(frame.type, "unknown flags of an area");
    return list;
}

RangeList decodeRanges(const Frame &frame) {
    auto head = listHead<ListFrame, RangeEntry>(frame, frame.type == FrameType::present);
    if (rest<RangeEntry>(frame, head))
        malformed(frame.type, "wrong size");
    RangeList list{head.vpid, (frame.flags & kFlagMore) != 0, 0, entries<RangeEntry>(frame, head)};
    list.pages = checkSorted(frame.type, list.ranges);
    return list;
}

PageList decodePages(const Frame &frame) {
    auto head = listHead<PagesFrame, RunEntry>(frame, false);
    if (head.count < 1 || head.count > kMaxPagesPerFrame)
        malformed(frame.type, "wrong count");
    PageList list{head.vpid, head.position, 0, entries<RunEntry>(frame, head),
                  frame.bytes().data() + sizeof head + head.count * sizeof(RunEntry)};
    uint64_t before = 0;
    for (const auto &run : list.runs) {
        if (run.pages < 1 || run.pages > kMaxPagesPerFrame || run.reserved || run.start > kMaxAddress ||
            !validRange(run.start, run.start + run.pages * kPageSize) || run.start < before)
            malformed(frame.type, "bad run");
        before = run.start + run.pages * kPageSize;
        list.pages += run.pages;
    }
    if (list.pages > kMaxPagesPerFrame || rest<RunEntry>(frame, head) != list.pages * kPageSize)
        malformed(frame.type, "wrong size");
    return list;
}

FileBegin decodeFile(const Frame &frame) {
    FileFrame head;
    if (frame.payload.size() < sizeof head)
        malformed(frame.type, "too short");
    memcpy(&head, frame.bytes().data(), sizeof head);
    if (head.reserved || head.nameLength != frame.payload.size() - sizeof head || head.size > kMaxFileSize ||
        head.nameLength > kMaxFileName)
        malformed(frame.type, "wrong size");
    std::string name(reinterpret_cast<const char *>(frame.bytes().data()) + sizeof head, head.nameLength);
    if (!validFileName(name))
        malformed(frame.type, "bad file name");
    return {head.size, std::move(name)};
}

uint32_t decodeProcess(const Frame &frame) {
    auto process = decode<ProcessFrame>(frame);
    checkPid(frame.type, process.vpid);
    if (process.reserved)
        malformed(frame.type, "reserved bits are set");
    return process.vpid;
}

std::string decodeText(const Frame &frame) {
    return printable(reinterpret_cast<const char *>(frame.bytes().data()), frame.payload.size());
}

Error decodeError(const Frame &frame) {
    ErrorFrame head;
    if (frame.payload.size() < sizeof head)
        malformed(frame.type, "too short");
    memcpy(&head, frame.bytes().data(), sizeof head);
    size_t left = frame.payload.size() - sizeof head;
    if (head.codeLength > left || head.codeLength > 64)
        malformed(frame.type, "wrong size");
    auto *text = reinterpret_cast<const char *>(frame.bytes().data()) + sizeof head;
    return Error(printable(text, head.codeLength),
                 "at the peer: " + printable(text + head.codeLength, left - head.codeLength));
}

} // namespace pclive::wire
