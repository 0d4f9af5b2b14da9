// SPDX-License-Identifier: Apache-2.0
// The mappings of a process, and which of them the engine moves.
#pragma once

#include "proc/range.hpp"
#include <map>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace pclive {

/// One line of /proc/PID/maps.
struct Mapping {
    uint64_t start = 0, end = 0;
    bool executable = false;
    bool shared = false;
    uint64_t inode = 0;
    std::string name; ///< path, "[heap]", "[anon:…]", …; empty for most anonymous memory
};

std::vector<Mapping> parseMaps(std::string_view text);

/// Decides which mappings of one process are *handled* (their pages travel through the engine), by the rules
/// of docs/dev/interfaces.md. maps alone does not show everything (mappings that grow down, droppable ones,
/// shadow stacks); smaps does, but walks all page tables. So smaps is read only when a mapping appears that
/// was not there before, and what it said is kept.
class Layout {
  public:
    /// During a round smaps may be read; in the final round, while the container stands still, only for
    /// mappings that nothing known from the rounds overlaps.
    enum class Pace { round, final };

    explicit Layout(pid_t pid) : pid_(pid) {}
    /// The handled areas now, sorted. Throws ProcessGone.
    Ranges read(Pace pace);

  private:
    [[nodiscard]] bool overlapsRegular(const Range &area) const;
    void askSmaps(const Ranges &unknown);

    pid_t pid_;
    std::map<uint64_t, std::pair<uint64_t, bool>>
        regular_; ///< start → end, whether smaps shows nothing special
};

} // namespace pclive
