// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace pclive::dest {

inline constexpr int kBackground = 10; ///< while the container still runs at the source
inline constexpr int kUrgent = 0;      ///< from the freeze on

/// Sets the nice value of all threads of the engine. Best effort: going back up needs CAP_SYS_NICE.
void setPriority(int nice) noexcept;

} // namespace pclive::dest
