// SPDX-License-Identifier: Apache-2.0
// Where a round puts what it finds: on the wire, or into the engine's own memory.
#pragma once

#include "control/session.hpp"
#include "source/process_copy.hpp"
#include <span>

namespace pclive {

/// What a sink has done so far.
struct SinkTotals {
    uint64_t pages = 0;        ///< copied
    uint64_t zeroPages = 0;    ///< read, but empty: never copied
    uint64_t droppedPages = 0; ///< copied before, and found empty or unreadable now
    uint64_t wireBytes = 0;
    double readMs = 0, sendMs = 0;
};

/// Takes one round, or the final one, from a Container, which calls it from one thread. For every process:
/// begin (once in its life), layout and absent where there is news, copy; in the final round present as well.
class Sink {
  public:
    virtual ~Sink() = default;

    /// A process begins to exist, empty; it may have the pid of an earlier one.
    virtual void begin(uint32_t vpid) = 0;
    /// Before the first copy of a round.
    virtual void gone(uint32_t vpid) = 0;
    /// The handled areas, sorted. What lies outside of them is absent from now on.
    virtual void layout(uint32_t vpid, std::span<const wire::AreaEntry> areas) = 0;
    virtual void absent(uint32_t vpid, const Ranges &ranges) = 0;
    /// Reads these pages of the process, keeps those that have contents, and enters into its books which
    /// have. Throws ProcessGone when it ends meanwhile.
    virtual void copy(ProcessCopy &process, const Ranges &wanted) = 0;
    /// Ends a round when all of it is where it belongs; returns what the round's answer tells besides.
    virtual Json endRound(uint32_t round) = 0;

    virtual void beginFinal() = 0;
    /// All pages that the process holds in the end, none of them over the bounds of an area.
    virtual void present(const ProcessCopy &process, const Ranges &held) = 0;
    virtual void endFinal() = 0;

    /// May be asked from any thread.
    [[nodiscard]] virtual SinkTotals totals() const = 0;
};

} // namespace pclive
