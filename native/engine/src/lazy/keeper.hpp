// SPDX-License-Identifier: Apache-2.0
// Watches over processes that lack pages: should the engine die, the kernel would give them empty ones.
#pragma once

#include "control/fd.hpp"
#include <sys/types.h>
#include <vector>

namespace pclive::lazy {

/// A process of its own that shares the engine's descriptors, so that they outlive it: processes that wait
/// for a page go on waiting until they have been killed.
class Keeper {
  public:
    /// `pids`: whom to kill. Errors: "internal".
    explicit Keeper(const std::vector<int> &pids);
    /// Kills them, unless standDown() was called: filling their memory has failed. Waits for their end, at
    /// most five seconds each.
    ~Keeper();
    Keeper(const Keeper &) = delete;
    Keeper &operator=(const Keeper &) = delete;

    /// They have all they need.
    void standDown() noexcept;

  private:
    std::vector<Fd> watched_; // pidfds
    Fd engine_;
    pid_t pid_ = 0;
};

} // namespace pclive::lazy
