// SPDX-License-Identifier: Apache-2.0
// Memory rebuilt ahead of the restore, in the address space of the waiting CRIU process.
#pragma once

#include "dest/overlay.hpp"
#include "dest/remote.hpp"
#include "dest/store.hpp"
#include "dest/windows.hpp"
#include <map>
#include <memory>

namespace pclive::dest {

class StagingStore final : public Store {
  public:
    explicit StagingStore(Overlay &overlay) : overlay_(overlay) {}

    Rest write(Process &process, const wire::PageList &pages) override;
    /// Not where a window must be made first: others may be writing into those that it replaces.
    bool ready(const Process &process, const wire::PageList &pages) override;
    void drop(Process &process, std::span<const Range> ranges) override;
    void roundEnded(std::span<Process *const>, uint32_t) override {}

    /// What the overlay must be told at GO: the areas of all processes that hold pages.
    std::vector<pclo_area> areas(std::span<Process *const> processes);

    /// How long CRIU may take to come to its waiting place.
    static constexpr std::chrono::milliseconds kOverlayTime{120000};

  private:
    struct Job;
    Remote &remote();
    const Window &windowFor(Process &process, const wire::AreaEntry &area);
    void moveInto(const Process &process, const Window &from, const Window &to);
    static void planBlocks(Process &process, const wire::AreaEntry &area, const Window &window, Range run,
                           Job &job);

    Overlay &overlay_;
    std::unique_ptr<Remote> remote_;
    std::map<uint32_t, Windows> windows_; // by vpid
};

} // namespace pclive::dest
