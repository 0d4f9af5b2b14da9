// SPDX-License-Identifier: Apache-2.0
#include "image/pages_writer.hpp"
#include "control/parallel.hpp"
#include "control/priority.hpp"
#include "wire/crc32c.hpp"
#include <climits>
#include <cstdlib>
#include <memory>

namespace pclive::image {
namespace {

/// What is summed, and then written, while it is in the processor's cache.
constexpr uint64_t kPiece = 1u << 20;

} // namespace

struct PagesWriter::File {
    const PagesJob &job;
    Fd fd, skeleton;
};

/// What each thread has for itself.
struct PagesWriter::Buffer {
    explicit Buffer(int nice) : niceness(nice) {}
    Niceness niceness;
    std::unique_ptr<uint8_t, void (*)(void *)> room{
        static_cast<uint8_t *>(std::aligned_alloc(kPageSize, kPiece)), std::free};
    std::vector<iovec> pieces;
};

Fd PagesWriter::create(const PagesJob &job) const {
    uint64_t bytes = job.plan.bytes;
    if (!mode_.direct || bytes == 0 || bytes % kPageSize)
        return to_.create(job.name);
    auto fd = to_.create(job.name);
    // Threads write past each other's ends, which a file system does side by side only inside of a file. A
    // file system that cannot make room beforehand finds out later whether there is any.
    if (::fallocate(fd.get(), 0, 0, static_cast<off_t>(bytes)) && errno != EOPNOTSUPP)
        throw to_.writeError(job.name, errno);
    ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_DIRECT); // or as it was
    return fd;
}

ImageSums::Pages PagesWriter::write(const PagesJob &job, size_t threads) const {
    File file{job, create(job), {}};
    bool copies = std::any_of(job.plan.segments.begin(), job.plan.segments.end(),
                              [](const Segment &segment) { return segment.from == Segment::From::skeleton; });
    if (copies)
        file.skeleton = skeleton_.open(job.name);
    ImageSums::Pages sums{job.plan.bytes, {}};
    sums.crcs.resize((job.plan.bytes + kSumChunk - 1) / kSumChunk);
    parallel(
        sums.crcs.size(), threads, [this] { return Buffer(mode_.nice); },
        [&](size_t chunk, Buffer &buffer) {
            uint64_t begin = chunk * kSumChunk;
            sums.crcs[chunk] = writeChunk(file, begin, std::min(begin + kSumChunk, job.plan.bytes), buffer);
        });
    return sums;
}

uint32_t PagesWriter::writeChunk(const File &file, uint64_t begin, uint64_t end, Buffer &buffer) const {
    uint32_t crc = 0;
    for (uint64_t at = begin; at < end; at += kPiece) {
        if (progress_.stopped)
            throw Error("aborted", "the checkpoint was aborted");
        uint64_t next = std::min(at + kPiece, end);
        gather(file, at, next, buffer);
        for (const auto &piece : buffer.pieces)
            crc = wire::crc32c(crc, piece.iov_base, piece.iov_len);
        put(file, at, buffer.pieces);
        progress_.bytes += next - at;
    }
    if (!mode_.direct) // so that fsync has little left to do
        ::sync_file_range(file.fd.get(), static_cast<off_t>(begin), static_cast<off_t>(end - begin),
                          SYNC_FILE_RANGE_WRITE);
    return crc;
}

/// Fills `buffer.pieces` with the contents of [begin, end) of the new image.
void PagesWriter::gather(const File &file, uint64_t begin, uint64_t end, Buffer &buffer) const {
    const auto &segments = file.job.plan.segments;
    buffer.pieces.clear();
    auto segment = std::prev(std::upper_bound(
        segments.begin(), segments.end(), begin,
        [](uint64_t offset, const Segment &candidate) { return offset < candidate.offset; }));
    for (uint64_t at = begin; at < end; ++segment) {
        uint64_t skip = at - segment->offset, bytes = std::min(segment->bytes - skip, end - at);
        uint8_t *room = buffer.room.get() + (at - begin);
        if (segment->from == Segment::From::process) {
            file.job.source->fetch({segment->at + skip, segment->at + skip + bytes}, room, buffer.pieces);
        } else {
            skeleton_.readAt(file.skeleton.get(), file.job.name, room, bytes, segment->at + skip);
            buffer.pieces.push_back({room, bytes});
        }
        at += bytes;
    }
}

void PagesWriter::put(const File &file, uint64_t offset, std::span<iovec> pieces) const {
    while (!pieces.empty()) {
        auto count = static_cast<int>(std::min<size_t>(pieces.size(), IOV_MAX));
        ssize_t done = ::pwritev(file.fd.get(), pieces.data(), count, static_cast<off_t>(offset));
        int flags = ::fcntl(file.fd.get(), F_GETFL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EINVAL && (flags & O_DIRECT)) { // not in this alignment, or not at all
            ::fcntl(file.fd.get(), F_SETFL, flags & ~O_DIRECT);
            continue;
        }
        if (done <= 0)
            throw to_.writeError(file.job.name, done < 0 ? errno : ENOSPC);
        offset += static_cast<uint64_t>(done);
        for (auto left = static_cast<size_t>(done); left;) {
            auto &piece = pieces.front();
            size_t step = std::min(left, piece.iov_len);
            piece.iov_base = static_cast<uint8_t *>(piece.iov_base) + step;
            piece.iov_len -= step;
            left -= step;
            if (piece.iov_len == 0)
                pieces = pieces.subspan(1);
        }
    }
}

} // namespace pclive::image
