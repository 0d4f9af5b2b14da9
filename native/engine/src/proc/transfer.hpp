// SPDX-License-Identifier: Apache-2.0
// How much memory of another process is read or written at once.
#pragma once

#include <cstddef>

namespace pclive {

/// Of one process_vm_readv or process_vm_writev. While the kernel copies it gives way to nobody, unless it
/// was built to be preempted: with megabytes at a time a server that shares the processor waits for
/// milliseconds.
inline constexpr size_t kBytesPerCall = 256u << 10;

} // namespace pclive
