// SPDX-License-Identifier: Apache-2.0
// Getting a userfaultfd of another process.
#pragma once

#include "control/error.hpp"
#include "control/fd.hpp"
#include <chrono>
#include <sys/types.h>

namespace pclive {

/// The process could not be stopped just now; it may well be possible later.
class Unstoppable : public Error {
  public:
    using Error::Error;
};

struct Injection {
    Fd userfaultfd;    ///< of the target's address space, not yet initialised with UFFDIO_API
    double stopMs = 0; ///< how long one of its threads stood still
};

/// Has the process call userfaultfd() itself, takes the descriptor and has it closed there, all in one stop
/// of one thread. A child of ours does it, so that the target's registers are put back even when we are
/// killed meanwhile. A process in a group stop stays stopped; a system call that was interrupted is
/// restarted. Ends within `timeout` and a little. Errors: ProcessGone, Unstoppable, "traced",
/// "attach-denied", "attach-seccomp", "attach-abi", "attach-failed".
Injection injectUserfaultfd(pid_t pid, std::chrono::milliseconds timeout);

} // namespace pclive
