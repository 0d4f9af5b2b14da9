// SPDX-License-Identifier: Apache-2.0
// What the running kernel can do for the source; found by asking it, not by its version.
#include "control/fd.hpp"
#include "control/session.hpp"
#include "control/userfaultfd.hpp"

#include <cstdint>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

namespace pclive {
namespace {

constexpr uint64_t kSoftDirtyBit = 1ull << 55;

struct ScanArgument { // struct pm_scan_arg, which older kernel headers lack
    uint64_t size, flags, start, end, walkEnd, vector, vectorLength, maxPages;
    uint64_t inverted, mask, anyOf, returned;
};

bool probePagemapScan() {
    Fd fd(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    ScanArgument argument{}; // an empty range: nothing is looked at, but the call is known
    argument.size = sizeof argument;
    return fd && ioctl(fd.get(), _IOWR('f', 16, ScanArgument), &argument) >= 0;
}

/// A page just written carries the bit wherever the kernel keeps it.
bool probeSoftDirty() {
    void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return false;
    *static_cast<volatile char *>(page) = 1;
    Fd fd(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    uint64_t entry = 0;
    auto offset = static_cast<off_t>(reinterpret_cast<uintptr_t>(page) / 4096 * sizeof entry);
    bool found =
        fd && pread(fd.get(), &entry, sizeof entry, offset) == sizeof entry && (entry & kSoftDirtyBit);
    munmap(page, 4096);
    return found;
}

} // namespace

Features probeFeatures() noexcept {
    return {.uffdWpAsync = static_cast<bool>(uffd::open(uffd::kWpAsync)),
            .softDirty = probeSoftDirty(),
            .pagemapScan = probePagemapScan()};
}

} // namespace pclive
