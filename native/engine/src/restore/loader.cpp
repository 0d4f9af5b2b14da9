// SPDX-License-Identifier: Apache-2.0
#include "restore/loader.hpp"

#include "control/parallel.hpp"
#include "restore/mapped_chunk.hpp"
#include "wire/crc32c.hpp"
#include <algorithm>
#include <fcntl.h>

namespace pclive::restore {
namespace {

/// Small enough that what the sum was made of is still in the processor's cache when it is written.
constexpr size_t kStepBytes = 128u << 10;
constexpr uint64_t kAheadBytes = 16u << 20;

} // namespace

/// One thread's part: chunk after chunk, in steps.
class Loader::Worker {
  public:
    explicit Worker(Loader &loader) : loader_(loader), remote_(loader.pid_) {}

    void load(const Chunk &chunk) {
        const auto &file = loader_.layers_.files()[chunk.file];
        MappedChunk mapped(file, chunk.begin, chunk.end);
        piece_ = loader_.chunks_.pieces.data() + chunk.first;
        end_ = piece_ + chunk.count;
        uint32_t sum = 0;
        for (uint64_t at = chunk.begin; at < chunk.end && !loader_.stop_;) {
            if (!chunk.sum && piece_ == end_)
                break;
            if (!chunk.sum)
                at = std::max(at, piece_->offset);
            size_t size = chunk.sum ? std::min<uint64_t>(kStepBytes, chunk.end - at) : runFrom(at);
            const uint8_t *bytes = mapped.need(at, size);
            if (chunk.sum)
                sum = wire::crc32c(sum, bytes, size);
            place(bytes, at, size);
            at += size;
        }
        if (chunk.sum && !loader_.stop_ && sum != *chunk.sum)
            throw wrongSum(file.path);
    }

  private:
    /// How much of the file is wanted in one piece from `at` on.
    [[nodiscard]] size_t runFrom(uint64_t at) const {
        uint64_t end = at;
        for (const Piece *piece = piece_; piece != end_ && piece->offset <= end; piece++) {
            end = std::max(end, piece->offset + piece->size);
            if (end - at >= kStepBytes)
                return kStepBytes;
        }
        return end - at;
    }

    /// Writes what `bytes` has of the pieces, and moves on to the first that is not done.
    void place(const uint8_t *bytes, uint64_t at, size_t size) {
        uint64_t placed = 0;
        for (; piece_ != end_ && piece_->offset < at + size; piece_++) {
            uint64_t low = std::max(piece_->offset, at);
            uint64_t high = std::min(piece_->offset + piece_->size, at + size);
            remote_.add(bytes + (low - at), piece_->remote + (low - piece_->offset), high - low);
            placed += high - low;
            if (piece_->offset + piece_->size > at + size)
                break; // the rest comes with the next step
        }
        remote_.flush();
        loader_.bytes_ += placed;
    }

    Loader &loader_;
    dest::Remote remote_;
    const Piece *piece_ = nullptr, *end_ = nullptr; // what is left of the chunk
};

Loader::Loader(const Layers &layers, const Chunks &chunks, int pid, unsigned threads)
    : layers_(layers), chunks_(chunks), pid_(pid), threads_(std::max(threads, 1u)) {}

void Loader::run() {
    parallel(
        chunks_.list.size(), threads_, [this] { return Worker(*this); },
        [this](size_t i, Worker &worker) {
            if (!stop_)
                worker.load(chunks_.list[i]);
        });
    if (stop_)
        throw Error("aborted", "aborted");
}

void readAhead(const Layers &layers, const std::atomic<bool> &stop) noexcept {
    for (const auto &file : layers.files())
        for (uint64_t at = 0; at < file.size && !stop; at += kAheadBytes)
            if (posix_fadvise(file.fd.get(), static_cast<off_t>(at), kAheadBytes, POSIX_FADV_WILLNEED))
                break;
}

} // namespace pclive::restore
