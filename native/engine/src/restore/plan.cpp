// SPDX-License-Identifier: Apache-2.0
#include "restore/plan.hpp"

#include "protocol.h"
#include <algorithm>
#include <map>
#include <set>
#include <sys/mman.h>

namespace pclive::restore {
namespace {

using image::PagemapEntry;

using wire::AreaEntry;
using wire::kPageSize;

// Bits of CRIU's own beside those of the protocol.
constexpr uint32_t kSysvIpc = 1u << 10, kSocket = 1u << 11, kShadowStack = 1u << 15, kPlugin = 1u << 27;
constexpr uint32_t kNever = PCLO_VMA_VSYSCALL | PCLO_VMA_VDSO | PCLO_VMA_VVAR | PCLO_VMA_AIORING | kSysvIpc |
                            kSocket | kShadowStack | kPlugin;
constexpr uint32_t kAlways = PCLO_VMA_REGULAR | PCLO_VMA_ANON_PRIVATE;

bool canBeStaged(const Vma &vma) {
    return !(vma.status & kNever) && (vma.status & kAlways) == kAlways &&
           !(vma.flags & (MAP_GROWSDOWN | MAP_HUGETLB));
}

/// Which mappings CRIU would take for copies of each other.
class Copies {
  public:
    explicit Copies(const std::vector<ProcessImage> &processes) {
        std::map<uint32_t, const ProcessImage *> byPid;
        for (const auto &process : processes)
            byPid[process.pid] = &process;
        for (const auto &process : processes) {
            auto parent = byPid.find(process.parent);
            if (process.mm && parent != byPid.end() && parent->second->mm)
                compare(process, *parent->second);
        }
    }
    [[nodiscard]] bool has(uint32_t pid, const Vma &vma) const { return found_.contains({pid, vma.start}); }

  private:
    void compare(const ProcessImage &child, const ProcessImage &parent) {
        if (child.mm->exeFileId != parent.mm->exeFileId)
            return;
        const auto &theirs = parent.mm->vmas;
        for (const auto &vma : child.mm->vmas) {
            auto same =
                std::lower_bound(theirs.begin(), theirs.end(), vma.start,
                                 [](const Vma &one, uint64_t address) { return one.start < address; });
            if (same == theirs.end() || same->start != vma.start || same->end != vma.end)
                continue;
            found_.insert({child.pid, vma.start});
            found_.insert({parent.pid, vma.start});
        }
    }
    std::set<std::pair<uint32_t, uint64_t>> found_;
};

/// What of `extents` lies in [start, end); `from` is a hint that only moves up.
std::vector<Extent> clip(const std::vector<Extent> &extents, size_t &from, uint64_t start, uint64_t end) {
    while (from < extents.size() && extents[from].address + extents[from].size <= start)
        from++;
    std::vector<Extent> inside;
    for (size_t i = from; i < extents.size() && extents[i].address < end; i++) {
        Extent part = extents[i];
        uint64_t low = std::max(part.address, start), high = std::min(part.address + part.size, end);
        part.offset += low - part.address;
        part.address = low;
        part.size = high - low;
        inside.push_back(part);
    }
    return inside;
}

uint64_t bytesIn(const std::vector<Extent> &extents) {
    uint64_t sum = 0;
    for (const auto &extent : extents)
        sum += extent.size;
    return sum;
}

/// The entries without what lies in the areas.
std::vector<PagemapEntry> without(const std::vector<PagemapEntry> &entries,
                                  const std::vector<AreaEntry> &areas) {
    std::vector<PagemapEntry> left;
    auto area = areas.begin();
    for (const auto &entry : entries) {
        uint64_t at = entry.start, end = entry.start + entry.pages * kPageSize;
        while (at < end) {
            while (area != areas.end() && area->end <= at)
                ++area;
            uint64_t stop = area == areas.end() ? end : std::clamp(area->start, at, end);
            if (at < stop)
                left.push_back({at, (stop - at) / kPageSize, entry.flags});
            at = area == areas.end() ? end : std::max(stop, std::min(area->end, end));
        }
    }
    return left;
}

StagedProcess planOne(const ProcessImage &process, const ProcessPages &pages, const Copies &copies) {
    StagedProcess result{process.pid, {}, {}, {}, pages.pagemap.pagesId};
    size_t from = 0;
    for (const auto &vma : process.mm->vmas) {
        if (vma.end - vma.start < kMinBytes || !canBeStaged(vma) || copies.has(process.pid, vma))
            continue;
        auto inside = clip(pages.extents, from, vma.start, vma.end);
        if (bytesIn(inside) < kMinBytes)
            continue;
        result.areas.push_back({vma.start, vma.end, 0, 0});
        result.extents.insert(result.extents.end(), inside.begin(), inside.end());
    }
    result.left = without(pages.pagemap.entries, result.areas);
    return result;
}

} // namespace

Plan makePlan(Layers &layers, const std::vector<ProcessImage> &processes) {
    Plan plan;
    plan.count = processes.size();
    Copies copies(processes);
    for (const auto &process : processes) {
        auto pages = layers.pagesOf(process.pid);
        if (!process.mm || !pages)
            continue;
        plan.pages += bytesIn(pages->extents) / kPageSize;
        if (pages->incomplete)
            continue;
        auto staged = planOne(process, *pages, copies);
        if (staged.areas.empty())
            continue;
        plan.stagedBytes += bytesIn(staged.extents);
        plan.processes.push_back(std::move(staged));
    }
    return plan;
}

} // namespace pclive::restore
