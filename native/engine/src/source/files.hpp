// SPDX-License-Identifier: Apache-2.0
// Sending the skeleton: the regular files of CRIU's image directory.
#pragma once

#include "wire/channel.hpp"
#include <cstdint>
#include <string>

namespace pclive {

struct FileTotals {
    uint64_t files = 0, bytes = 0;
};

/// Sends every regular file of `dir`, by name. What is not a regular file is left out. Errors as
/// wire::sendFile(), and "file" when the directory cannot be read.
FileTotals sendDirectory(wire::Channel &channel, const std::string &dir);

} // namespace pclive
