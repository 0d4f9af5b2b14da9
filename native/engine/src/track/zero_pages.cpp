// SPDX-License-Identifier: Apache-2.0
#include "track/zero_pages.hpp"

#include "control/error.hpp"
#include "control/fd.hpp"
#include "proc/range.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace pclive {
namespace {

constexpr uint64_t kFrameMask = (1ull << 55) - 1;
constexpr size_t kHugeSize = 2 << 20;
constexpr uint64_t kFlagZeroPage = 1ull << 24; // of /proc/kpageflags

/// Maps anonymous memory that is never unmapped, reads one byte of it, and tells the frame that is there.
uint64_t frameOfRead(const Fd &pagemap, size_t alignment, int advice) {
    size_t size = 2 * alignment;
    void *memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        throw systemError("no-tracking", "mapping a page of zeros", errno, "use the strategy stop-and-copy");
    ::madvise(memory, size, advice);
    auto at = (reinterpret_cast<uintptr_t>(memory) + alignment - 1) / alignment * alignment;
    static_cast<void>(*reinterpret_cast<volatile const char *>(at));
    uint64_t entry = 0;
    auto offset = static_cast<off_t>(at / kPageSize * sizeof entry);
    if (::pread(pagemap.get(), &entry, sizeof entry, offset) != sizeof entry)
        throw systemError("no-tracking", "pagemap", errno, "use the strategy stop-and-copy");
    return entry & kFrameMask;
}

bool isZeroPage(uint64_t frame) {
    Fd flags(::open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));
    uint64_t value = 0;
    if (!flags ||
        ::pread(flags.get(), &value, sizeof value, static_cast<off_t>(frame * sizeof value)) != sizeof value)
        throw systemError("no-tracking", "kpageflags", errno, "use the strategy stop-and-copy");
    return value & kFlagZeroPage;
}

} // namespace

const ZeroPages &ZeroPages::get() {
    static const ZeroPages pages;
    return pages;
}

ZeroPages::ZeroPages() {
    Fd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    if (!pagemap)
        throw systemError("no-tracking", "pagemap", errno, "use the strategy stop-and-copy");
    small_ = frameOfRead(pagemap, kPageSize, MADV_NOHUGEPAGE);
    if (small_ == 0)
        throw Error("no-tracking", "the kernel hides page frames, without which soft-dirty is not reliable",
                    "give the shim the capability SYS_ADMIN, or use the strategy stop-and-copy");
    // Where there are no huge pages this is the small one again; where they are never zero, one of our own.
    auto huge = frameOfRead(pagemap, kHugeSize, MADV_HUGEPAGE);
    if (huge != small_ && huge % (kHugeSize / kPageSize) == 0 && isZeroPage(huge))
        huge_ = huge;
}

bool ZeroPages::contain(uint64_t pagemapEntry) const {
    auto frame = pagemapEntry & kFrameMask;
    return frame == small_ || (huge_ && frame >= *huge_ && frame < *huge_ + kHugeSize / kPageSize);
}

} // namespace pclive
