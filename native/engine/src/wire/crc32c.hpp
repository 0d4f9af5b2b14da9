// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace pclive::wire {

/// CRC-32C (Castagnoli, RFC 3720 B.4) of `size` bytes, going on from `crc` (0 to begin). Uses the processor's
/// instruction where there is one.
uint32_t crc32c(uint32_t crc, const void *data, size_t size) noexcept;

/// The same by table; exported so that the two can be compared.
uint32_t crc32cTable(uint32_t crc, const void *data, size_t size) noexcept;

} // namespace pclive::wire
