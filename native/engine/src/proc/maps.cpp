// SPDX-License-Identifier: Apache-2.0
#include "proc/maps.hpp"
#include "proc/procfs.hpp"
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace pclive {
namespace {

/// Smaller mappings travel in CRIU's images: staging each of them would cost more than it saves.
constexpr uint64_t kMinArea = 256u << 10;

/// In the final round a mapping that nothing is known about is worth a look into smaps only above this size;
/// a smaller one is quicker left to CRIU.
constexpr uint64_t kMinAreaToAskInFinal = 8u << 20;

/// Calls `visit` with every line of `text`.
template <class Visit> void eachLine(std::string_view text, Visit visit) {
    while (!text.empty()) {
        auto end = std::min(text.find('\n'), text.size());
        visit(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

bool takeNumber(std::string_view &text, uint64_t &value, int base) {
    auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    text.remove_prefix(static_cast<size_t>(next - text.data()));
    return error == std::errc();
}

std::string_view takeWord(std::string_view &text) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    auto word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    return word;
}

bool takeBounds(std::string_view &line, uint64_t &start, uint64_t &end) {
    if (!takeNumber(line, start, 16) || line.empty() || line[0] != '-')
        return false;
    line.remove_prefix(1);
    return takeNumber(line, end, 16) && !line.empty() && line[0] == ' ';
}

/// Whether maps alone lets the mapping be handled.
bool eligible(const Mapping &mapping) {
    if (mapping.shared || mapping.inode != 0 || mapping.end - mapping.start < kMinArea ||
        mapping.end > wire::kMaxAddress)
        return false;
    return mapping.name.empty() || mapping.name == "[heap]" || mapping.name.starts_with("[anon:");
}

/// gd grows down, ht huge-page file, io/pf device memory, mm mixed, dp droppable, ss shadow stack,
/// um userfaultfd in use by the process itself.
bool regularFlags(std::string_view flags) {
    constexpr std::array<std::string_view, 8> kSpecial{"gd", "ht", "io", "pf", "mm", "dp", "ss", "um"};
    for (auto word = takeWord(flags); !word.empty(); word = takeWord(flags))
        if (std::find(kSpecial.begin(), kSpecial.end(), word) != kSpecial.end())
            return false;
    return true;
}

} // namespace

std::vector<Mapping> parseMaps(std::string_view text) {
    std::vector<Mapping> mappings;
    eachLine(text, [&](std::string_view line) {
        Mapping mapping;
        uint64_t inode = 0;
        auto whole = std::string(line);
        if (!takeBounds(line, mapping.start, mapping.end))
            throw Error("proc", "a line of maps is not understood: " + whole);
        auto permissions = takeWord(line);
        takeWord(line); // offset
        takeWord(line); // device
        auto inodeWord = takeWord(line);
        if (permissions.size() != 4 || !takeNumber(inodeWord, inode, 10))
            throw Error("proc", "a line of maps is not understood: " + whole);
        mapping.executable = permissions[2] == 'x';
        mapping.shared = permissions[3] == 's';
        mapping.inode = inode;
        mapping.name = std::string(line.substr(std::min(line.find_first_not_of(' '), line.size())));
        mappings.push_back(std::move(mapping));
    });
    return mappings;
}

Ranges Layout::read(Pace pace) {
    Ranges areas, unknown;
    bool executableSeen = false;
    for (const auto &mapping : parseMaps(readProc(pid_, "maps"))) {
        // CRIU borrows bytes of a task's first executable mapping to inject its code while we read pages.
        bool borrowed =
            mapping.executable && !std::exchange(executableSeen, executableSeen || mapping.executable);
        if (borrowed || !eligible(mapping))
            continue;
        Range area{mapping.start, mapping.end};
        areas.push_back(area);
        auto known = regular_.find(area.start);
        bool cached = known != regular_.end() && known->second.first == area.end;
        if (!cached && pace == Pace::final && overlapsRegular(area))
            regular_[area.start] = {area.end, true};
        else if (!cached && (pace == Pace::round || area.end - area.start >= kMinAreaToAskInFinal))
            unknown.push_back(area);
    }
    if (!unknown.empty())
        askSmaps(unknown);
    // Whatever smaps did not show any more has changed meanwhile: left out until the next look.
    std::map<uint64_t, std::pair<uint64_t, bool>> kept;
    for (const auto &area : areas)
        if (auto known = regular_.find(area.start);
            known != regular_.end() && known->second.first == area.end)
            kept.insert(*known);
    regular_ = std::move(kept);
    std::erase_if(areas, [this](const Range &area) {
        auto known = regular_.find(area.start);
        return known == regular_.end() || !known->second.second;
    });
    return areas;
}

/// A mapping that has grown, shrunk or merged since the last round keeps its kind.
bool Layout::overlapsRegular(const Range &area) const {
    auto next = regular_.upper_bound(area.start);
    if (next != regular_.begin() && std::prev(next)->second.first > area.start)
        return std::prev(next)->second.second;
    return next != regular_.end() && next->first < area.end && next->second.second;
}

void Layout::askSmaps(const Ranges &unknown) {
    size_t open = unknown.size();
    Range current{0, 0};
    eachProcLine(pid_, "smaps", [&](std::string_view line) {
        constexpr std::string_view kFlags = "VmFlags:";
        if (line.starts_with(kFlags)) {
            auto at = std::lower_bound(unknown.begin(), unknown.end(), current,
                                       [](const Range &a, const Range &b) { return a.start < b.start; });
            if (at != unknown.end() && at->start == current.start && at->end == current.end) {
                regular_[current.start] = {current.end, regularFlags(line.substr(kFlags.size()))};
                return --open > 0;
            }
        } else if (Range bounds{}; takeBounds(line, bounds.start, bounds.end)) {
            current = bounds;
        }
        return true;
    });
}

} // namespace pclive
