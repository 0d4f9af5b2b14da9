// SPDX-License-Identifier: Apache-2.0
// Reading the memory of another process.
#pragma once

#include "control/fd.hpp"
#include "proc/range.hpp"
#include <bitset>
#include <span>
#include <sys/types.h>
#include <sys/uio.h>

namespace pclive {

using PageFlags = std::bitset<wire::kMaxPagesPerFrame>;

/// Reads with process_vm_readv, and where a mapping may not be read (PROT_NONE) through /proc/PID/mem. The
/// process may run, be frozen, or be stopped by a tracer.
class MemoryReader {
  public:
    explicit MemoryReader(pid_t pid) : pid_(pid) {}

    /// Reads the pages of `runs` (at most kMaxPagesPerFrame), one after the other, to `to`: pieces of our
    /// memory that hold whole pages, and as many as `runs` has. Returns those that cannot be read at all,
    /// which become zero: unmapped meanwhile, guard pages, device memory. Throws ProcessGone.
    PageFlags read(std::span<const wire::RunEntry> runs, std::span<const iovec> to);
    /// The same to one piece.
    PageFlags read(std::span<const wire::RunEntry> runs, uint8_t *to);

  private:
    size_t readThroughFile(const iovec &from, const iovec &to);

    pid_t pid_;
    Fd file_;
};

/// Whether all 4096 bytes are zero.
bool isZeroPage(const uint8_t *page);

} // namespace pclive
