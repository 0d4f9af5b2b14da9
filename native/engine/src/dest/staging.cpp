// SPDX-License-Identifier: Apache-2.0
#include "dest/staging.hpp"

#include <algorithm>
#include <cstdio>

namespace pclive::dest {

using wire::kPageSize;

namespace {

// A block gets a huge page when so much of it is known to be filled; the rest costs memory until the
// container uses it.
constexpr unsigned kHugeFrom = kBlockPages / 4;
constexpr size_t kCopyBytes = 1u << 20;

} // namespace

/// Where the pages of one frame go.
struct StagingStore::Job {
    struct Piece {
        const uint8_t *data;
        uint64_t remote;
        size_t size;
    };
    std::vector<uint64_t> hugeBlocks;
    std::vector<Piece> touches; ///< one byte each, so that there is a page to make huge
    std::vector<Piece> pieces;

    void carryOut(Remote &remote) const {
        write(remote, touches);
        remote.collapse(hugeBlocks);
        write(remote, pieces);
    }

  private:
    static void write(Remote &remote, const std::vector<Piece> &list) {
        for (const auto &piece : list)
            remote.add(piece.data, piece.remote, piece.size);
        remote.flush();
    }
};

Remote &StagingStore::remote() {
    if (!remote_)
        remote_ = std::make_unique<Remote>(overlay_.waitConnected(kOverlayTime));
    return *remote_;
}

bool StagingStore::ready(const Process &process, const wire::PageList &pages) {
    const Windows &windows = windows_[process.vpid];
    return std::all_of(pages.runs.begin(), pages.runs.end(), [&](const auto &run) {
        const auto &area = *process.areaOf({run.start, run.start + run.pages * kPageSize});
        return windows.find({area.start, area.end});
    });
}

Store::Rest StagingStore::write(Process &process, const wire::PageList &pages) {
    auto job = std::make_shared<Job>();
    const uint8_t *data = pages.data;
    for (const auto &run : pages.runs) {
        Range range{run.start, run.start + run.pages * kPageSize};
        const auto &area = *process.areaOf(range); // the ledger has checked it
        const Window &window = windowFor(process, area);
        planBlocks(process, area, window, range, *job);
        job->pieces.push_back({data, window.at(range.start), range.end - range.start});
        data += range.end - range.start;
    }
    remote(); // known from here on
    return [this, job] {
        Remote own(remote_->pid());
        job->carryOut(own);
    };
}

/// Makes huge pages where a run is going to fill much of a block.
///
/// MADV_COLLAPSE from outside, on a block in which one page was touched, is as fast as MADV_HUGEPAGE before
/// the first write (12 against 15 GB/s; small pages: 3, and 0.5 when the memory is cold), works whatever the
/// mode in /sys/kernel/mm/transparent_hugepage is, and leaves no flag that would split the window's mapping.
///
/// The page that is touched is one that the run will fill: whatever it held is void.
void StagingStore::planBlocks(Process &process, const wire::AreaEntry &area, const Window &window, Range run,
                              Job &job) {
    static const uint8_t zero = 0;
    for (uint64_t block = run.start & ~(kBlockBytes - 1); block < run.end; block += kBlockBytes) {
        if (block < area.start || block + kBlockBytes > area.end)
            continue; // the mapping is moved alone: a huge page must not reach into the next one
        uint64_t first = std::max(block, run.start), last = std::min(block + kBlockBytes, run.end);
        const PageSet::Block *known = process.pages.findBlock(block);
        unsigned held = known ? known->count() : 0;
        bool dense = area.flags & wire::kAreaDense;
        if ((known && known->huge) || (!dense && held + (last - first) / kPageSize < kHugeFrom))
            continue;
        process.pages.block(block).huge = true;
        job.hugeBlocks.push_back(window.at(block));
        job.touches.push_back({&zero, window.at(first), 1});
    }
}

const Window &StagingStore::windowFor(Process &process, const wire::AreaEntry &area) {
    Windows &windows = windows_[process.vpid];
    Range range{area.start, area.end};
    if (const Window *window = windows.find(range))
        return *window;
    remote().flush();
    Range wanted = windows.wanted(range, process.areas);
    Window window{wanted.start, wanted.end, overlay_.window(wanted)};
    for (const Window &old : windows.add(window))
        moveInto(process, old, window);
    return *windows.find(range);
}

/// A mapping grew over the bounds of its window: what was staged in the old window is copied.
void StagingStore::moveInto(const Process &process, const Window &from, const Window &to) {
    std::vector<uint8_t> buffer(kCopyBytes);
    std::vector<pclo_range> old;
    process.pages.forEach({from.start, from.end}, [&](Range run) {
        for (uint64_t at = run.start; at < run.end; at += kCopyBytes) {
            size_t size = std::min<uint64_t>(kCopyBytes, run.end - at);
            remote().read(buffer.data(), from.at(at), size);
            remote().add(buffer.data(), to.at(at), size);
            remote().flush();
        }
        old.push_back({from.at(run.start), run.end - run.start});
    });
    overlay_.drop(old);
}

void StagingStore::drop(Process &process, std::span<const Range> ranges) {
    std::vector<pclo_range> there;
    for (const auto &range : ranges)
        for (uint64_t at = range.start; at < range.end;) {
            const Window *window = windows_[process.vpid].find({at, at + kPageSize});
            if (!window)
                throw Error("internal", "pages are held outside of any window");
            uint64_t end = std::min(range.end, window->end);
            there.push_back({window->at(at), end - at});
            at = end;
        }
    overlay_.drop(there);
}

std::vector<pclo_area> StagingStore::areas(std::span<Process *const> processes) {
    std::vector<pclo_area> list;
    for (Process *process : processes)
        for (const auto &area : process->areas)
            if (process->pages.anyIn({area.start, area.end}))
                list.push_back(
                    {process->vpid, 0, area.start, area.end, windowFor(*process, area).at(area.start)});
    return list;
}

} // namespace pclive::dest
