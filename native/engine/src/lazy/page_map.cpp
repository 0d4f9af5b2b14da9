// SPDX-License-Identifier: Apache-2.0
#include "lazy/page_map.hpp"

#include <algorithm>
#include <vector>

namespace pclive::lazy {

Part Part::within(uint64_t low, uint64_t high) const {
    low = std::max(low, start);
    return {low, std::min(high, end), file, offset + (low - start)};
}

void PageMap::add(const Part &part) {
    parts_.emplace(part.start, part);
}

std::optional<Part> PageMap::around(uint64_t address, uint64_t size) const {
    auto after = parts_.upper_bound(address);
    if (after == parts_.begin())
        return std::nullopt;
    const Part &part = std::prev(after)->second;
    if (address >= part.end)
        return std::nullopt;
    uint64_t block = address & ~(size - 1);
    return part.within(block, block + size);
}

std::optional<Part> PageMap::first(uint64_t size) const {
    if (parts_.empty())
        return std::nullopt;
    const Part &part = parts_.begin()->second;
    return part.within(part.start, part.start + size);
}

void PageMap::splitAt(uint64_t address) {
    auto after = parts_.upper_bound(address);
    if (after == parts_.begin())
        return;
    Part &part = std::prev(after)->second;
    if (address == part.start || address >= part.end)
        return;
    Part upper = part.within(address, part.end);
    part.end = address;
    parts_.emplace(address, upper);
}

void PageMap::erase(uint64_t start, uint64_t end) {
    splitAt(start);
    splitAt(end);
    parts_.erase(parts_.lower_bound(start), parts_.lower_bound(end));
}

void PageMap::move(uint64_t from, uint64_t to, uint64_t size) {
    splitAt(from);
    splitAt(from + size);
    auto begin = parts_.lower_bound(from), end = parts_.lower_bound(from + size);
    std::vector<Part> moved;
    for (auto at = begin; at != end; ++at)
        moved.push_back(at->second);
    parts_.erase(begin, end);
    erase(to, to + size);
    for (Part part : moved) {
        part.start += to - from;
        part.end += to - from;
        add(part);
    }
}

} // namespace pclive::lazy
