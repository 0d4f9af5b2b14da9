// SPDX-License-Identifier: Apache-2.0
// Measuring time, and taking as little of the processor as one should.
#pragma once

#include <chrono>
#include <sys/resource.h>
#include <unistd.h>

namespace pclive {

/// Milliseconds since it was made.
class Stopwatch {
  public:
    [[nodiscard]] double ms() const {
        return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_).count();
    }

  private:
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

inline constexpr int kNiceInRounds = 10; // the container goes first while it runs
inline constexpr int kNiceInFinal = 0;

/// The calling thread's priority, for as long as this lives. Raising it again needs CAP_SYS_NICE; without
/// that the thread stays as it was.
class Niceness {
  public:
    explicit Niceness(int nice) : before_(::getpriority(PRIO_PROCESS, thread())) {
        ::setpriority(PRIO_PROCESS, thread(), nice);
    }
    ~Niceness() { ::setpriority(PRIO_PROCESS, thread(), before_); }
    Niceness(const Niceness &) = delete;
    Niceness &operator=(const Niceness &) = delete;

  private:
    static id_t thread() { return static_cast<id_t>(::gettid()); }
    int before_;
};

} // namespace pclive
