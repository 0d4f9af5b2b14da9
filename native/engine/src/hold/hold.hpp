// SPDX-License-Identifier: Apache-2.0
// Keeps what is sent to a container while it is nowhere, and delivers it when the container runs again.
#pragma once

#include <string>

namespace pclive {

/// The role `hold`: frames that reach the container's network namespace are dropped there by the migration's
/// lock, and a client would send them again only after a time-out that doubles with every try. So they are
/// copied here, at the host's end of the container's veth pairs, and sent once more at the line "release" on
/// standard input. The line "keep" forgets what was copied until then: it was not dropped. End of input:
/// nothing is sent.
/// @param netns path of the container's network namespace
/// @returns the exit code; says "ready N" (interfaces) and "released N" (frames) on standard output
int runHold(const std::string &netns);

} // namespace pclive
