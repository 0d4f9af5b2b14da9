// SPDX-License-Identifier: Apache-2.0
// The frames of the data connection between two engines.
//
//   source                                      destination
//     HELLO ------------------------------------->
//     <-------------------------------------- HELLO_ACK        (or ERROR, and the connection ends)
//     [ PROCESS LAYOUT ABSENT PAGES ... ROUND_END ->           any number of rounds; FILE* in between (put)
//     <-------------------------------------- ROUND_ACK ]
//     FINAL_BEGIN PROCESS LAYOUT ABSENT PAGES PRESENT ... FINAL_END ->
//     <-------------------------------------- FINAL_ACK
//     [ FILE FILE_DATA ... FILE_END ] GO ------->
//     <-------------------------------------- FILES_ACK
//
// With several streams there are so many connections more, which carry PAGES and nothing else. HELLO tells
// which one it is; each has the token. Order between connections is kept by two numbers: a PAGES frame says
// how many frames about processes (PAGES not counted) were sent over the main connection before it, and is
// taken when those have been taken; ROUND_END and FINAL_END say how many pages were sent, over all
// connections, and are taken when those have been taken. A round begins after the ROUND_ACK of the one
// before, and sends a page once at most: so no page of an older round is under way in a newer one, and order
// within a round is free.
//
// PING and ABORT may come at any time from either side, ERROR at any time from the destination.
// Without pages (stop-and-copy) the parts before the files are left out.
//
// Each process is known by the pid it sees itself (vpid). What the frames mean for the destination's copy:
// * PROCESS      a process begins to exist, empty. Sent for a known vpid: it is emptied (exec, or a new
// process with an old pid).
// * LAYOUT       the process's handled areas, replacing the list before; whatever lies outside is absent from
// now on.
//                Several frames when long: all but the last carry kFlagMore. Areas are sorted and do not
//                overlap. An area may be announced anew with other bounds at any time; pages inside both
//                bounds stay.
// * ABSENT       these ranges hold no page now (freed, zero, or to be sent anew afterwards).
// * PAGES        contents; inside areas of the current layout. A later copy replaces an earlier one.
// * PRESENT      in the final only: the exact set of ranges that hold pages, replacing nothing: it must cover
// what is
//                staged. Staged but not present pages are dropped; present but never received is the error
//                "inconsistent". Once for each living process (kFlagMore as in LAYOUT; an empty list is
//                fine), anywhere between FINAL_BEGIN and FINAL_END.
//
// All numbers are little-endian. Structures are padded by hand and copied as they lie in memory.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace pclive::wire {

static_assert(std::endian::native == std::endian::little, "frames are copied as they lie in memory");

inline constexpr uint16_t kWireVersion = 2;
inline constexpr uint32_t kMagic = 0x574c4350; // "PCLW"
inline constexpr uint64_t kPageSize = 4096;    // both hosts must have pages of this size
inline constexpr size_t kMaxData = 1u << 20;   // page or file bytes in one frame
inline constexpr size_t kMaxPayload = kMaxData + (64u << 10);
inline constexpr size_t kMaxPagesPerFrame = kMaxData / kPageSize;
inline constexpr size_t kMaxRangesPerFrame = 32768; // LAYOUT, ABSENT, PRESENT
inline constexpr size_t kMaxProcesses = 32768;
inline constexpr size_t kMaxAreas = 262144; // of one process
inline constexpr size_t kMaxFileName = 255;
inline constexpr uint16_t kMaxStreams = 16;
#if defined(__x86_64__)
inline constexpr uint64_t kMaxAddress = 1ull << 47;
#else
inline constexpr uint64_t kMaxAddress = 1ull << 48;
#endif

enum class FrameType : uint8_t {
    hello = 1,
    process,     // ProcessFrame
    processGone, // ProcessFrame
    layout,      // ListFrame + AreaEntry[]
    absent,      // ListFrame + RangeEntry[]
    pages,       // PagesFrame + RunEntry[] + page contents
    roundEnd,    // RoundEndFrame
    finalBegin,  // empty
    present,     // ListFrame + RangeEntry[]
    finalEnd,    // FinalEndFrame
    file,        // FileFrame + name
    fileData,    // bytes of the file begun last
    fileEnd,     // FileEndFrame
    go,          // GoFrame
    ping,        // empty; never seen by users of Channel
    abort,       // text
    helloAck = 64,
    roundAck, // RoundAckFrame
    finalAck, // FinalAckFrame
    filesAck, // FilesAckFrame
    error,    // ErrorFrame + code + text
};

inline constexpr uint8_t kFlagMore =
    1; // LAYOUT, PRESENT: the list goes on in the next frame of this type for this process

struct FrameHeader {
    uint32_t magic;
    uint8_t type;
    uint8_t flags;
    uint16_t reserved;
    uint32_t length;   // bytes of payload after this header, at most kMaxPayload
    uint32_t crc;      // CRC-32C of the payload
    uint64_t sequence; // counts frames in this direction, from 0
};
static_assert(sizeof(FrameHeader) == 24);

struct HelloFrame {
    uint16_t version;
    uint16_t stream; // 0: the main connection
    uint32_t pageSize;
    uint8_t migration[16];
    uint8_t token[32];
    uint16_t streams; // 1: no connection but the main one; else connections 1 ... streams follow
    uint16_t reserved[3];
};
static_assert(sizeof(HelloFrame) == 64);

struct ProcessFrame {
    uint32_t vpid; // 1 ... 2^22
    uint32_t reserved;
};
static_assert(sizeof(ProcessFrame) == 8);

struct ListFrame {
    uint32_t vpid;
    uint32_t count; // entries that follow
};
static_assert(sizeof(ListFrame) == 8);

struct PagesFrame {
    uint32_t vpid;
    uint32_t count; // entries that follow
    uint64_t
        position; // frames about processes, PAGES not counted, that the main connection had before this one
};
static_assert(sizeof(PagesFrame) == 16);

/// A handled mapping of the source: bytes [start, end).
struct AreaEntry {
    uint64_t start;
    uint64_t end;
    uint32_t flags; // kArea...
    uint32_t reserved;
};
static_assert(sizeof(AreaEntry) == 24);
inline constexpr uint32_t kAreaDense = 1; // nearly all of it is populated: use huge pages
inline constexpr uint32_t kAreaFlags = kAreaDense;

/// Bytes [start, end), page-aligned; sorted and not overlapping within a frame (PRESENT: within a process).
/// In PRESENT, each range lies inside one area; in ABSENT, anywhere.
struct RangeEntry {
    uint64_t start;
    uint64_t end;
};
static_assert(sizeof(RangeEntry) == 16);

/// `pages` pages from `start`, all inside one area; sorted and not overlapping within a frame; the contents
/// follow in the same order. Staging is fastest when long runs are split where the address is a multiple of 1
/// MiB.
struct RunEntry {
    uint64_t start;
    uint32_t pages;
    uint32_t reserved;
};
static_assert(sizeof(RunEntry) == 16);

struct RoundEndFrame {
    uint32_t round; // from 1, rising by one
    uint32_t reserved;
    uint64_t pages; // in PAGES frames since the last ROUND_END
};
static_assert(sizeof(RoundEndFrame) == 16);

struct FinalEndFrame {
    uint64_t pages;        // in PAGES frames since FINAL_BEGIN
    uint64_t presentPages; // in PRESENT frames, of all processes
};
static_assert(sizeof(FinalEndFrame) == 16);

/// Begins a file. Its name follows: [A-Za-z0-9._-]{1,255}, neither "." nor "..". One file at a time; frames
/// about processes may come in between. A name may be used again: the later file replaces the earlier.
struct FileFrame {
    uint64_t size; // bytes; exactly as many follow in FILE_DATA frames
    uint32_t nameLength;
    uint32_t reserved;
};
static_assert(sizeof(FileFrame) == 16);

struct FileEndFrame {
    uint64_t size;
};
static_assert(sizeof(FileEndFrame) == 8);

struct GoFrame {
    uint64_t files; // all files sent, put ones too
    uint64_t bytes;
};
static_assert(sizeof(GoFrame) == 16);

struct RoundAckFrame {
    uint32_t round;
    uint32_t reserved;
    uint64_t stagedBytes;  // memory held for the container
    uint64_t backlogBytes; // received, not yet placed
};
static_assert(sizeof(RoundAckFrame) == 24);

struct FinalAckFrame {
    uint64_t stagedBytes;
};
static_assert(sizeof(FinalAckFrame) == 8);

struct FilesAckFrame {
    uint64_t files;
    uint64_t bytes;
};
static_assert(sizeof(FilesAckFrame) == 16);

struct ErrorFrame {
    uint16_t codeLength; // the code's bytes follow, then the text up to the frame's end
    uint16_t reserved;
    uint32_t reserved2;
};
static_assert(sizeof(ErrorFrame) == 8);

} // namespace pclive::wire
