// SPDX-License-Identifier: Apache-2.0
// A process that speaks the overlay's side of the protocol and gives what the engine asks for, but restores
// nothing: the test looks into its memory instead.
#pragma once

#include "control/fd.hpp"
#include "protocol.h"
#include <string>
#include <sys/types.h>
#include <vector>

namespace pclive::testing {

class FakeOverlay {
  public:
    /// Forks; the child connects to `socketPath` as soon as that is there.
    explicit FakeOverlay(const std::string &socketPath);
    ~FakeOverlay(); // kills the child

    [[nodiscard]] pid_t pid() const { return pid_; }
    /// The areas of GO; waits for it.
    std::vector<pclo_area> waitGo();
    /// Lets the child say HELD (it waits for this after GO).
    void hold();
    void kill();
    /// The child's memory.
    void read(void *local, uint64_t remote, size_t size) const;
    /// Kibibytes in huge pages.
    [[nodiscard]] uint64_t hugeKb() const;

  private:
    pid_t pid_;
    Fd toChild_, fromChild_;
};

} // namespace pclive::testing
