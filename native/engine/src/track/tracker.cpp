// SPDX-License-Identifier: Apache-2.0
#include "track/tracker.hpp"
#include "control/error.hpp"
#include "control/session.hpp"

namespace pclive {

TrackerKind chooseTracker(const std::string &wanted) {
    if (wanted != "auto" && wanted != "uffd" && wanted != "soft-dirty")
        throw Error("invalid", "tracker must be \"auto\", \"uffd\" or \"soft-dirty\"");
    auto features = probeFeatures();
    if (wanted != "soft-dirty" && features.uffdWpAsync && features.pagemapScan)
        return TrackerKind::uffd;
    if (wanted != "uffd" && features.softDirty)
        return TrackerKind::softDirty;
    throw Error("no-tracking", "this kernel cannot track memory writes with the tracker \"" + wanted + "\"",
                "use Linux 6.7 or newer, a kernel with CONFIG_MEM_SOFT_DIRTY, or the strategy stop-and-copy");
}

std::unique_ptr<Tracker> makeTracker(TrackerKind kind, pid_t pid) {
    return kind == TrackerKind::uffd ? makeUffdTracker(pid) : makeSoftDirtyTracker(pid);
}

} // namespace pclive
