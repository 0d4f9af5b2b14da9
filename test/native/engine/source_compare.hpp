// SPDX-License-Identifier: Apache-2.0
// Holding what the peer has against the memory of a process that stands still.
#pragma once

#include "proc/procfs.hpp"
#include "source_peer.hpp"

#include <fcntl.h>
#include <sstream>

namespace sourcetest {

/// The process's memory, read without the code under test: page by page, through pagemap and mem.
class RealMemory {
  public:
    explicit RealMemory(pid_t pid)
        : pagemap_(openProc(pid, "pagemap", O_RDONLY)), memory_(openProc(pid, "mem", O_RDONLY)) {}

    /// Calls visit(address, contents or null) for every page of the range that is present or swapped.
    template <class Visit> void eachPage(uint64_t start, uint64_t end, Visit visit) const {
        constexpr size_t kStep = 65536;
        std::vector<uint64_t> entries(kStep);
        std::vector<uint8_t> page(wire::kPageSize);
        for (uint64_t at = start; at < end;) {
            auto count = std::min<uint64_t>(kStep, (end - at) / wire::kPageSize);
            ssize_t got = pread(pagemap_.get(), entries.data(), count * 8,
                                static_cast<off_t>(at / wire::kPageSize * 8));
            check(got == static_cast<ssize_t>(count * 8), "pagemap can be read");
            for (size_t i = 0; i < count; i++, at += wire::kPageSize)
                if (entries[i] >> 62) {
                    bool readable = pread(memory_.get(), page.data(), page.size(), static_cast<off_t>(at)) ==
                                    static_cast<ssize_t>(page.size());
                    visit(at, readable ? page.data() : nullptr);
                }
        }
    }

  private:
    Fd pagemap_, memory_;
};

inline std::string hex(uint64_t value) {
    std::ostringstream text;
    text << std::hex << value;
    return text.str();
}

/// Bounds of all mappings, by their start.
inline std::map<uint64_t, uint64_t> boundsOf(pid_t pid) {
    std::map<uint64_t, uint64_t> bounds;
    std::istringstream lines(readProc(pid, "maps"));
    for (std::string line; std::getline(lines, line);) {
        auto start = std::stoull(line, nullptr, 16);
        bounds[start] = std::stoull(line.substr(line.find('-') + 1), nullptr, 16);
    }
    return bounds;
}

inline const dest::Process *findProcess(Peer &peer, uint32_t vpid) {
    for (auto *process : peer.ledger.processes())
        if (process->vpid == vpid)
            return process;
    return nullptr;
}

/// The address sanitizer's shadow memory: its page map alone would take seconds to read.
inline constexpr uint64_t kTooLarge = 1ull << 40;

struct Compared {
    uint64_t areas = 0, pages = 0;
};

/// Throws when the peer's copy of the process differs in anything: areas that are not exactly mappings, a
/// page too many, too few, or with other contents.
inline Compared compare(Peer &peer, pid_t pid, uint32_t vpid) {
    check(peer.failure().empty(), "the peer is content: " + peer.failure());
    const auto *process = findProcess(peer, vpid);
    check(process != nullptr, "the peer knows process " + std::to_string(vpid));
    static const std::array<uint8_t, wire::kPageSize> zeros{};
    RealMemory real(pid);
    auto bounds = boundsOf(pid);
    auto &copy = peer.store.memory(vpid);
    Compared result;
    uint64_t matched = 0;
    for (const auto &area : process->areas) {
        if (area.end - area.start > kTooLarge) {
            matched += static_cast<uint64_t>(std::count_if(copy.begin(), copy.end(), [&](auto &page) {
                return area.start <= page.first && page.first < area.end;
            }));
            continue;
        }
        check(bounds.contains(area.start) && bounds[area.start] == area.end,
              "area " + hex(area.start) + " is a mapping");
        result.areas++;
        real.eachPage(area.start, area.end, [&](uint64_t at, const uint8_t *contents) {
            auto found = copy.find(at);
            bool empty = !contents || !memcmp(contents, zeros.data(), zeros.size());
            check(empty || found != copy.end(), "page " + hex(at) + " is missing at the peer");
            if (found == copy.end())
                return;
            check(!empty, "page " + hex(at) + " is empty, but the peer holds contents");
            check(!memcmp(contents, found->second->data(), zeros.size()),
                  "page " + hex(at) + " has other contents at the peer");
            matched++;
        });
    }
    check(matched == copy.size(),
          std::to_string(copy.size() - matched) + " pages at the peer are gone at the source");
    result.pages = matched;
    return result;
}

} // namespace sourcetest
