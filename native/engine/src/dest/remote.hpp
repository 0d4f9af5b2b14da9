// SPDX-License-Identifier: Apache-2.0
// Another process's memory.
#pragma once

#include "control/error.hpp"
#include "control/fd.hpp"
#include <cstdint>
#include <sys/uio.h>
#include <vector>

namespace pclive::dest {

/// Writes to and reads from a process, many pieces with one system call. Errors: "overlay-lost".
class Remote {
  public:
    explicit Remote(int pid);
    [[nodiscard]] int pid() const { return pid_; }

    /// Puts a piece of local memory on the list of what the next flush() writes, or writes it at once.
    void add(const void *local, uint64_t remote, size_t size);
    void flush();
    void read(void *local, uint64_t remote, size_t size);

    /// Asks for a huge page for each of these 2 MiB blocks, which must hold a page each. Best effort: where
    /// the kernel has no huge page to give, small pages do as well.
    void collapse(const std::vector<uint64_t> &blocks) noexcept;

  private:
    void append(const void *local, uint64_t remote, size_t size);

    int pid_;
    Fd pidfd_;
    bool canCollapse_ = true;
    std::vector<iovec> local_, remote_;
    size_t listed_ = 0; ///< bytes
};

} // namespace pclive::dest
