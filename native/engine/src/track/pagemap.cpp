// SPDX-License-Identifier: Apache-2.0
#include "track/pagemap.hpp"
#include "proc/procfs.hpp"
#include <algorithm>
#include <fcntl.h>
#include <sys/ioctl.h>

namespace pclive {
namespace {

// The kernel's structures, which headers before 6.7 lack.
struct PageRegion {
    uint64_t start, end, categories;
};
struct ScanArgument {
    uint64_t size, flags, start, end, walkEnd, vector, vectorLength, maxPages;
    uint64_t inverted, mask, anyOf, returned;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArgument);
constexpr uint64_t kProtectMatching = 1;
constexpr size_t kRegionsPerCall = 16384;

} // namespace

Pagemap::Pagemap(pid_t pid) : fd_(openProc(pid, "pagemap", O_RDONLY)) {}

// PM_SCAN_CHECK_WPASYNC is left out on purpose: it fails in the middle when a mapping was replaced since the
// maps were read, and what was protected by then would be forgotten. Without it such a mapping is skipped,
// and the next round finds it unregistered.
void Pagemap::scan(const Range &within, const PageQuery &query,
                   const std::function<void(const Range &, uint64_t)> &visit) const {
    thread_local std::vector<PageRegion> regions(kRegionsPerCall);
    for (uint64_t at = within.start; at < within.end;) {
        ScanArgument argument{};
        argument.size = sizeof argument;
        argument.flags = query.protect ? kProtectMatching : 0;
        argument.start = at;
        argument.end = within.end;
        argument.vector = reinterpret_cast<uint64_t>(regions.data());
        argument.vectorLength = regions.size();
        argument.inverted = query.inverted;
        argument.mask = query.mask;
        argument.anyOf = query.anyOf;
        argument.returned = query.reported;
        int count = ::ioctl(fd_.get(), kPagemapScan, &argument);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == ESRCH)
            return; // the address space is gone: nothing there
        if (count < 0)
            throw systemError("scan", "PAGEMAP_SCAN", errno,
                              "use the tracker soft-dirty, or the strategy stop-and-copy");
        for (int i = 0; i < count; i++)
            visit({regions[i].start, regions[i].end}, regions[i].categories);
        // Only a full vector ends the walk early. walkEnd tells where only then: after a complete walk over
        // more than some 500 regions Linux leaves an older value in it (seen in 6.18), somewhere in the
        // middle. To go on from there would protect pages a second time and report them out of order.
        if (static_cast<size_t>(count) < regions.size())
            break;
        at = std::max(argument.walkEnd, regions.back().end);
    }
}

Ranges Pagemap::find(const Ranges &areas, const PageQuery &query) const {
    Ranges result;
    for (const auto &area : areas)
        scan(area, query, [&](const Range &range, uint64_t) { appendRange(result, range.start, range.end); });
    return result;
}

} // namespace pclive
