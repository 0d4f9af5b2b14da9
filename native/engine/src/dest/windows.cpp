// SPDX-License-Identifier: Apache-2.0
#include "dest/windows.hpp"

#include <algorithm>

namespace pclive::dest {
namespace {

uint64_t down(uint64_t address) {
    return address & ~(kWindowBytes - 1);
}
uint64_t up(uint64_t address) {
    return down(address + kWindowBytes - 1);
}

/// Widens `range` by whatever overlaps it without lying inside; true when it grew.
bool widen(Range &range, uint64_t start, uint64_t end) {
    if (end <= range.start || start >= range.end || (start >= range.start && end <= range.end))
        return false;
    range = {std::min(range.start, down(start)), std::max(range.end, up(end))};
    return true;
}

} // namespace

const Window *Windows::find(Range range) const {
    auto after = windows_.upper_bound(range.start);
    if (after == windows_.begin())
        return nullptr;
    const Window &window = std::prev(after)->second;
    return range.end <= window.end ? &window : nullptr;
}

Range Windows::wanted(Range range, std::span<const wire::AreaEntry> areas) const {
    Range result{down(range.start), up(range.end)};
    for (bool grew = true; grew;) {
        grew = false;
        for (const auto &area : areas)
            grew = widen(result, area.start, area.end) || grew;
        for (const auto &[start, window] : windows_)
            grew = widen(result, window.start, window.end) || grew;
    }
    return result;
}

std::vector<Window> Windows::add(Window window) {
    std::vector<Window> replaced;
    for (auto at = windows_.lower_bound(window.start); at != windows_.end() && at->first < window.end;) {
        replaced.push_back(at->second);
        at = windows_.erase(at);
    }
    windows_.emplace(window.start, window);
    return replaced;
}

} // namespace pclive::dest
