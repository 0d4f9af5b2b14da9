// SPDX-License-Identifier: Apache-2.0
// Tracking with soft-dirty bits, for kernels before 6.7 that have CONFIG_MEM_SOFT_DIRTY.
//
// Reading the bits and clearing them are two steps, and clear_refs clears all of a process at once: what is
// written in between would be lost, and nothing could find it later. So all threads of the process are
// stopped, by ptrace, from before the bits are read until they are cleared; this short stop is reported.
// Pages are read afterwards, while the process runs: later writes set their bits again.
//
// New mappings, moved ones and those of a new address space (exec) are dirty as a whole, by the kernel's
// VM_SOFTDIRTY; so nothing needs to be attached, and nothing is ever untracked. Mappings that nobody asked
// about when the bits were cleared are unknown to the peer, and therefore sent. What is discarded and only
// read afterwards is present and not dirty: the kernel's page of zeros. It counts as absent.
#include "proc/inject.hpp"
#include "proc/procfs.hpp"
#include "proc/tracee.hpp"
#include "track/tracker.hpp"
#include "track/zero_pages.hpp"

#include <fcntl.h>
#include <set>

namespace pclive {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kPresent = 1ull << 63;
constexpr uint64_t kSwapped = 1ull << 62;
constexpr uint64_t kSoftDirty = 1ull << 55;
constexpr size_t kEntriesPerRead = 32768;
constexpr auto kStopTimeout = 500ms;

/// All threads of a process, stopped for as long as this lives. To be made and destroyed on one thread.
class StoppedProcess {
  public:
    explicit StoppedProcess(pid_t pid) : deadline_(Tracee::Clock::now() + kStopTimeout) {
        // A running thread may start others: until a look at the list shows no new one.
        while (stopNewThreads(pid))
            ;
    }

  private:
    bool stopNewThreads(pid_t pid) {
        bool found = false;
        for (pid_t tid : listThreads(pid)) {
            if (!seen_.insert(tid).second)
                continue;
            found = true;
            auto thread = std::make_unique<Tracee>(pid, tid, deadline_);
            auto failure = thread->stop(false);
            if (failure == TraceFailure::unstoppable)
                throw Unstoppable(
                    "attach-timeout", "a thread of process " + std::to_string(pid) + " could not be stopped",
                    "try again when the container is responsive, or migrate with the strategy stop-and-copy");
            if (failure == TraceFailure::none)
                threads_.push_back(std::move(thread));
            else if (failure != TraceFailure::gone && !threadEnded(pid, tid))
                throw Error("attach-denied",
                            "tracing of process " + std::to_string(pid) + " is not permitted",
                            "end its debugger, or give the shim the capability SYS_PTRACE");
        }
        return found;
    }

    Tracee::Clock::time_point deadline_;
    std::set<pid_t> seen_;
    std::vector<std::unique_ptr<Tracee>> threads_;
};

class SoftDirtyTracker final : public Tracker {
  public:
    explicit SoftDirtyTracker(pid_t pid) : pid_(pid) {}

    Preparation prepare(const Ranges &) override {
        return {.fresh = {}, .attached = !std::exchange(seen_, true)};
    }

    Scan collect(const Ranges &areas, const PageSet &known) override {
        auto clear = openProc(pid_, "clear_refs", O_WRONLY);
        auto begin = Tracee::Clock::now();
        Scan result;
        {
            StoppedProcess stopped(pid_);
            result = snapshot(areas, known);
            if (::write(clear.get(), "4", 1) != 1)
                throw systemError("scan", "clear_refs", errno, "use the strategy stop-and-copy");
        }
        stopMs_ = std::max(stopMs_,
                           std::chrono::duration<double, std::milli>(Tracee::Clock::now() - begin).count());
        return result;
    }

    Scan snapshot(const Ranges &areas, const PageSet &) override {
        auto pagemap = openProc(pid_, "pagemap", O_RDONLY);
        entries_.resize(kEntriesPerRead);
        Scan result;
        for (const auto &area : areas)
            scanArea(pagemap.get(), area, result);
        return result;
    }

    Ranges untracked(const Ranges &) override { return {}; }
    double takeStopMs() override { return std::exchange(stopMs_, 0); }

  private:
    [[nodiscard]] bool holdsContents(uint64_t entry) const {
        return entry & kPresent ? !zeroPages_.contain(entry) : entry & kSwapped;
    }

    void scanArea(int pagemap, const Range &area, Scan &result) {
        for (uint64_t at = area.start; at < area.end;) {
            auto count = std::min<uint64_t>(entries_.size(), (area.end - at) / kPageSize);
            ssize_t got = ::pread(pagemap, entries_.data(), count * sizeof(uint64_t),
                                  static_cast<off_t>(at / kPageSize * sizeof(uint64_t)));
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                throw systemError("scan", "pagemap", errno, "use the strategy stop-and-copy");
            if (got < static_cast<ssize_t>(sizeof(uint64_t)))
                return; // the address space is gone
            for (size_t i = 0; i < static_cast<size_t>(got) / sizeof(uint64_t); i++, at += kPageSize) {
                if (!holdsContents(entries_[i]))
                    continue;
                appendRange(result.present, at, at + kPageSize);
                if (entries_[i] & kSoftDirty)
                    appendRange(result.dirty, at, at + kPageSize);
            }
        }
    }

    pid_t pid_;
    const ZeroPages &zeroPages_ = ZeroPages::get();
    bool seen_ = false;
    double stopMs_ = 0;
    std::vector<uint64_t> entries_;
};

} // namespace

std::unique_ptr<Tracker> makeSoftDirtyTracker(pid_t pid) {
    return std::make_unique<SoftDirtyTracker>(pid);
}

} // namespace pclive
