// SPDX-License-Identifier: Apache-2.0
// Tracking with userfaultfd's asynchronous write-protection and PAGEMAP_SCAN (Linux 6.7).
//
// The kernel write-protects pages for us and, on a write, only takes the protection away again: no message,
// no waiting, a minor fault for the writer. A scan finds the unprotected pages and protects them in one
// atomic step.
//
// What becomes of a registration, and so of a page's protection:
// * munmap, MADV_DONTNEED: the page is absent; filled again it is unprotected, that is, written.
// * mmap at the same place, mremap: the mapping at the new place is not registered. untracked() finds it.
// * fork: the child's copy is not registered. It is another process, with its own tracker.
// * exec: the old address space is gone, all of the new one is unregistered, and our descriptor is dead.
// * growth: a part that merges with a registered mapping is registered; otherwise it is a mapping of its own.
// When the descriptor is closed, by us or by our death, the kernel takes all protection away.
#include "control/userfaultfd.hpp"
#include "proc/inject.hpp"
#include "proc/maps.hpp"
#include "proc/procfs.hpp"
#include "track/pagemap.hpp"
#include "track/quick_look.hpp"
#include "track/tracker.hpp"

#include <cerrno>

namespace pclive {
namespace {

using namespace std::chrono_literals;

constexpr auto kAttachTimeout = 500ms;

constexpr PageQuery kUnregistered{.inverted = page::kWpAllowed, .mask = page::kWpAllowed};
constexpr PageQuery kProtectWritten{.inverted = page::kZero,
                                    .mask = page::kWritten | page::kZero,
                                    .anyOf = page::kPresent | page::kSwapped,
                                    .protect = true};
constexpr PageQuery kPresentAndWritten{.inverted = page::kZero,
                                       .mask = page::kZero,
                                       .anyOf = page::kPresent | page::kSwapped,
                                       .reported = page::kWritten};

/// The kernel shows a page of its own, [vsyscall], among the mappings.
bool isUser(const Mapping &mapping) {
    return mapping.start >> 63 == 0;
}

/// The mapping that `area` is in, as it is now, with the holes on both sides. Registered by bounds that it
/// has outgrown since they were read, a mapping would be cut in two, and what its process then does to it as
/// a whole can fail: mremap even half-way. In holes there is nothing to register, but for what grows into
/// them.
Range withHoles(const Range &area, const std::vector<Mapping> &maps) {
    Range wide = area;
    for (const auto &mapping : maps) {
        if (mapping.end <= area.start)
            wide.start = mapping.end;
        else if (mapping.start >= area.end)
            return {wide.start, isUser(mapping) ? mapping.start : wide.end};
        else
            wide.end = std::max(area.end, mapping.end);
    }
    return wide;
}

class UffdTracker final : public Tracker {
  public:
    explicit UffdTracker(pid_t pid) : pid_(pid) {}

    Preparation prepare(const Ranges &areas) override {
        Preparation result;
        result.fresh = untracked(areas);
        if (result.fresh.empty())
            return result;
        // When nothing at all could be registered, the descriptor may be of an old address space that lives
        // on in another process (exec after vfork).
        if (!fd_ || !registerAreas(areas, result.fresh) || pagesIn(untracked(areas)) == pagesIn(areas)) {
            attach();
            result.attached = true;
            registerAreas(areas, result.fresh);
        }
        return result;
    }

    Scan collect(const Ranges &areas, const PageSet &known) override {
        Pagemap pagemap(pid_);
        auto parts = toLookAt(pagemap, areas, known);
        // In this order: a page that comes between the two is present but not yet known to anyone, so it is
        // sent, and sent again next time. The other way round it would be dirty but not present.
        Scan result;
        result.dirty = pagemap.find(parts, kProtectWritten);
        result.present = unite(subtract(areas, parts), pagemap.find(parts, kPresentPages));
        return result;
    }

    Scan snapshot(const Ranges &areas, const PageSet &known) override {
        Pagemap pagemap(pid_);
        auto parts = toLookAt(pagemap, areas, known);
        Scan result;
        for (const auto &part : parts)
            pagemap.scan(part, kPresentAndWritten, [&](const Range &range, uint64_t categories) {
                appendRange(result.present, range.start, range.end);
                if (categories & page::kWritten)
                    appendRange(result.dirty, range.start, range.end);
            });
        result.present = unite(subtract(areas, parts), result.present);
        return result;
    }

    Ranges untracked(const Ranges &areas) override { return Pagemap(pid_).find(areas, kUnregistered); }

    double takeStopMs() override { return std::exchange(stopMs_, 0); }

  private:
    static Ranges toLookAt(const Pagemap &pagemap, const Ranges &areas, const PageSet &known) {
        return known.pages() && canLookQuickly() ? doubtful(pagemap, areas, known) : areas;
    }

    void attach() {
        auto injection = injectUserfaultfd(pid_, kAttachTimeout);
        stopMs_ = std::max(stopMs_, injection.stopMs);
        uffdio_api api{};
        api.api = UFFD_API;
        api.features = uffd::kWpAsync | uffd::kWpUnpopulated;
        if (::ioctl(injection.userfaultfd.get(), UFFDIO_API, &api) != 0)
            throw systemError("no-tracking", "userfaultfd without asynchronous write-protection", errno,
                              "use Linux 6.7 or newer, or the tracker soft-dirty");
        fd_ = std::move(injection.userfaultfd);
    }

    /// Registers the areas that touch `fresh`. False when the descriptor belongs to an address space that is
    /// gone. An area that cannot be registered for another reason (it has just changed, or the process uses
    /// userfaultfd itself) stays untracked: it is found fresh, and sent whole, every time.
    bool registerAreas(const Ranges &areas, const Ranges &fresh) {
        const auto maps = parseMaps(readProc(pid_, "maps"));
        auto next = fresh.begin();
        for (const auto &area : areas) {
            while (next != fresh.end() && next->end <= area.start)
                ++next;
            if (next == fresh.end())
                break;
            if (next->start >= area.end)
                continue;
            // The holes may have been filled by what cannot be registered.
            if (!registerRange(withHoles(area, maps)) && !registerRange(area) &&
                (errno == ESRCH || errno == ENOMEM) && !alive(area))
                return false;
        }
        return true;
    }

    /// False with errno.
    [[nodiscard]] bool registerRange(const Range &range) const {
        return uffd::registerRange(fd_.get(), range.start, range.end);
    }

    /// Removing protection where there is none tells a dead address space (ESRCH) from a lack of memory.
    [[nodiscard]] bool alive(const Range &area) const {
        uffdio_writeprotect request{};
        request.range = {area.start, kPageSize};
        return ::ioctl(fd_.get(), UFFDIO_WRITEPROTECT, &request) == 0 || errno != ESRCH;
    }

    pid_t pid_;
    Fd fd_;
    double stopMs_ = 0;
};

} // namespace

std::unique_ptr<Tracker> makeUffdTracker(pid_t pid) {
    return std::make_unique<UffdTracker>(pid);
}

} // namespace pclive
