// SPDX-License-Identifier: Apache-2.0
#include "restore/mapped_chunk.hpp"

#include "restore/messages.hpp"

#include "wire/frames.hpp"
#include <cerrno>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 // Linux 5.14
#endif

namespace pclive::restore {
namespace {

uint64_t pageOf(uint64_t offset) {
    return offset & ~(wire::kPageSize - 1);
}

} // namespace

MappedChunk::MappedChunk(const PagesFile &file, uint64_t begin, uint64_t end)
    : file_(file), begin_(pageOf(begin)), size_(end - begin_) {
    void *memory = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.fd.get(), static_cast<off_t>(begin_));
    if (memory == MAP_FAILED)
        throw systemError("images", "cannot read " + file.path, errno);
    memory_ = static_cast<uint8_t *>(memory);
}

MappedChunk::~MappedChunk() {
    ::munmap(memory_, size_);
}

const uint8_t *MappedChunk::need(uint64_t offset, size_t size) const {
    uint64_t page = pageOf(offset);
    const uint8_t *found = memory_ + (offset - begin_);
    while (::madvise(memory_ + (page - begin_), offset + size - page, MADV_POPULATE_READ) < 0) {
        if (errno == EFAULT)
            throw damaged(file_.path, "it ends too early");
        if (errno == EINVAL) // an older kernel reads at the first touch
            break;
        if (errno != EINTR && errno != EAGAIN)
            throw systemError("images", "cannot read " + file_.path, errno);
    }
    return found;
}

} // namespace pclive::restore
