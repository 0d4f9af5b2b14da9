// SPDX-License-Identifier: Apache-2.0
// How much a thread of the engine takes from others.
#pragma once

#include <sys/types.h>

namespace pclive {

/// Nice values.
inline constexpr int kBackground = 10; ///< while the container runs: it goes first
inline constexpr int kUrgent = 0;      ///< while it stands still

/// Sets the nice value of a thread of ours. A nice one also gives way as soon as anybody wakes (Linux 6.12
/// and newer; before, it may first use up its slice, which lasts until the next tick). Best effort: becoming
/// less nice needs CAP_SYS_NICE.
void setPriority(pid_t thread, int nice) noexcept;
/// Of all threads there are now.
void setPriorityOfAll(int nice) noexcept;

/// The calling thread's priority, for as long as this lives.
class Niceness {
  public:
    explicit Niceness(int nice);
    ~Niceness();
    Niceness(const Niceness &) = delete;
    Niceness &operator=(const Niceness &) = delete;

  private:
    int before_;
};

} // namespace pclive
