// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace pclive {

/// Interface numbers, in this process' network namespace, of the other ends of the veth pairs in namespace
/// `netns`. Empty when there are none. @throws std::system_error when the namespace cannot be looked into
std::vector<int> hostEnds(const std::string &netns);

} // namespace pclive
