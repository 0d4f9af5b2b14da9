// SPDX-License-Identifier: Apache-2.0
#include "wire/crc32c.hpp"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace pclive::wire {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78; // 0x1edc6f41 with its bits reversed

constexpr std::array<uint32_t, 256> makeTable() {
    std::array<uint32_t, 256> table{};
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = (value >> 1) ^ (value & 1 ? kPolynomial : 0);
        table[byte] = value;
    }
    return table;
}
constexpr auto kTable = makeTable();

using Function = uint32_t (*)(uint32_t, const void *, size_t) noexcept;

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crc32cHardware(uint32_t crc, const void *data,
                                                          size_t size) noexcept {
    auto *at = static_cast<const uint8_t *>(data);
    uint64_t wide = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        std::memcpy(&word, at, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    auto narrow = static_cast<uint32_t>(wide);
    for (; size; size--)
        narrow = _mm_crc32_u8(narrow, *at++);
    return ~narrow;
}
Function choose() noexcept {
    return __builtin_cpu_supports("sse4.2") ? crc32cHardware : crc32cTable;
}
#elif defined(__aarch64__)
__attribute__((target("+crc"))) uint32_t crc32cHardware(uint32_t crc, const void *data,
                                                        size_t size) noexcept {
    auto *at = static_cast<const uint8_t *>(data);
    crc = ~crc;
    for (; size >= 8; size -= 8, at += 8) {
        uint64_t word;
        std::memcpy(&word, at, 8);
        crc = __crc32cd(crc, word);
    }
    for (; size; size--)
        crc = __crc32cb(crc, *at++);
    return ~crc;
}
Function choose() noexcept {
    return getauxval(AT_HWCAP) & HWCAP_CRC32 ? crc32cHardware : crc32cTable;
}
#else
Function choose() noexcept {
    return crc32cTable;
}
#endif

} // namespace

uint32_t crc32cTable(uint32_t crc, const void *data, size_t size) noexcept {
    auto *at = static_cast<const uint8_t *>(data);
    crc = ~crc;
    for (; size; size--)
        crc = (crc >> 8) ^ kTable[(crc ^ *at++) & 0xff];
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size) noexcept {
    static const Function function = choose();
    return function(crc, data, size);
}

} // namespace pclive::wire
