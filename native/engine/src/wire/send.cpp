// SPDX-License-Identifier: Apache-2.0
#include "wire/send.hpp"

#include "control/fd.hpp"
#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <vector>

namespace pclive::wire {
namespace {

/// Returns the number of frames.
template <class Entry>
uint64_t sendList(Channel &channel, FrameType type, uint32_t vpid, std::span<const Entry> list,
                  bool markMore) {
    uint64_t frames = 0;
    do {
        frames++;
        auto part = list.first(std::min(list.size(), kMaxRangesPerFrame));
        list = list.subspan(part.size());
        ListFrame head{vpid, static_cast<uint32_t>(part.size())};
        iovec parts[2] = {{&head, sizeof head}, {const_cast<Entry *>(part.data()), part.size_bytes()}};
        channel.send(type, parts, markMore && !list.empty() ? kFlagMore : 0);
    } while (!list.empty());
    return frames;
}

} // namespace

uint64_t sendLayout(Channel &channel, uint32_t vpid, std::span<const AreaEntry> areas) {
    return sendList(channel, FrameType::layout, vpid, areas, true);
}

uint64_t sendRanges(Channel &channel, FrameType type, uint32_t vpid, std::span<const RangeEntry> ranges) {
    if (type == FrameType::absent && ranges.empty())
        return 0;
    return sendList(channel, type, vpid, ranges, type == FrameType::present);
}

void sendPages(Channel &channel, uint32_t vpid, std::span<const RunEntry> runs, std::span<const iovec> data,
               uint64_t position) {
    PagesFrame head{vpid, static_cast<uint32_t>(runs.size()), position};
    std::vector<iovec> parts{{&head, sizeof head}, {const_cast<RunEntry *>(runs.data()), runs.size_bytes()}};
    parts.insert(parts.end(), data.begin(), data.end());
    channel.send(FrameType::pages, parts);
}

bool validFileName(const std::string &name) noexcept {
    if (name.empty() || name.size() > kMaxFileName || name == "." || name == "..")
        return false;
    return std::all_of(name.begin(), name.end(), [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '0' && letter <= '9') || letter == '.' || letter == '_' || letter == '-';
    });
}

uint64_t sendFile(Channel &channel, const std::string &name, const std::string &path) {
    if (!validFileName(name))
        throw Error("invalid", "\"" + name + "\" cannot be the name of a file on the wire");
    Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat status {};
    if (!file || fstat(file.get(), &status))
        throw systemError("file", "cannot read " + path, errno);
    if (!S_ISREG(status.st_mode))
        throw Error("file", path + " is not a regular file");
    auto size = static_cast<uint64_t>(status.st_size);

    auto lock = channel.fileLock();
    FileFrame head{size, static_cast<uint32_t>(name.size()), 0};
    iovec parts[2] = {{&head, sizeof head}, {const_cast<char *>(name.data()), name.size()}};
    channel.send(FrameType::file, parts);
    std::vector<uint8_t> buffer(std::min<uint64_t>(size, kMaxData));
    for (uint64_t left = size; left;) {
        ssize_t got = read(file.get(), buffer.data(), std::min<uint64_t>(left, buffer.size()));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) { // the peer waits for the rest of this file: the stream cannot go on
            channel.abort(path + " cannot be read");
            throw got < 0 ? systemError("file", "cannot read " + path, errno)
                          : Error("file-changed", path + " became shorter while it was sent");
        }
        iovec part{buffer.data(), static_cast<size_t>(got)};
        channel.send(FrameType::fileData, std::span<const iovec>(&part, 1));
        left -= static_cast<uint64_t>(got);
    }
    channel.send(FrameType::fileEnd, FileEndFrame{size});
    return size;
}

} // namespace pclive::wire
