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
#define PCLIVE_CRC32C_TARGET __attribute__((target("sse4.2")))
PCLIVE_CRC32C_TARGET inline uint64_t takeWord(uint64_t state, uint64_t word) {
    return _mm_crc32_u64(state, word);
}
PCLIVE_CRC32C_TARGET inline uint32_t takeByte(uint32_t state, uint8_t byte) {
    return _mm_crc32_u8(state, byte);
}
bool hasInstruction() noexcept {
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__)
#define PCLIVE_CRC32C_TARGET __attribute__((target("+crc")))
PCLIVE_CRC32C_TARGET inline uint64_t takeWord(uint64_t state, uint64_t word) {
    return __crc32cd(static_cast<uint32_t>(state), word);
}
PCLIVE_CRC32C_TARGET inline uint32_t takeByte(uint32_t state, uint8_t byte) {
    return __crc32cb(state, byte);
}
bool hasInstruction() noexcept {
    return getauxval(AT_HWCAP) & HWCAP_CRC32;
}
#endif

#ifdef PCLIVE_CRC32C_TARGET

uint64_t wordAt(const uint8_t *at) {
    uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    return word;
}

/// The instruction takes three cycles, and a new one can begin in each: three sums at a time, of three parts
/// of this size. A page is three of them and 16 bytes.
constexpr size_t kLane = 1360;
/// Three short lanes in each page are nothing that a processor would fetch ahead by itself: memory that is
/// not in its cache is summed up by half as fast again when it is told to.
constexpr size_t kAhead = 4096, kPrefetchStep = 16;

/// What kLane zero bytes make of a sum, for each byte of it.
class LaneShift {
  public:
    LaneShift() {
        for (uint32_t byte = 0; byte < 4; byte++)
            for (uint32_t value = 0; value < 256; value++)
                tables_[byte][value] = afterZeros(value << (8 * byte));
    }
    uint32_t operator()(uint32_t state) const {
        return tables_[0][state & 0xff] ^ tables_[1][state >> 8 & 0xff] ^ tables_[2][state >> 16 & 0xff] ^
               tables_[3][state >> 24];
    }

  private:
    static uint32_t afterZeros(uint32_t state) {
        for (size_t i = 0; i < kLane; i++)
            state = (state >> 8) ^ kTable[state & 0xff];
        return state;
    }
    std::array<std::array<uint32_t, 256>, 4> tables_{};
};

PCLIVE_CRC32C_TARGET uint32_t crc32cHardware(uint32_t crc, const void *data, size_t size) noexcept {
    static const LaneShift shift;
    auto *at = static_cast<const uint8_t *>(data);
    uint64_t state = static_cast<uint32_t>(~crc);
    for (; size >= 3 * kLane; size -= 3 * kLane, at += 3 * kLane) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < kLane; i += 8) {
            if (i % kPrefetchStep == 0)
                __builtin_prefetch(at + kAhead + 3 * i);
            state = takeWord(state, wordAt(at + i));
            second = takeWord(second, wordAt(at + kLane + i));
            third = takeWord(third, wordAt(at + 2 * kLane + i));
        }
        state = shift(shift(static_cast<uint32_t>(state)) ^ static_cast<uint32_t>(second)) ^
                static_cast<uint32_t>(third);
    }
    for (; size >= 8; size -= 8, at += 8)
        state = takeWord(state, wordAt(at));
    auto narrow = static_cast<uint32_t>(state);
    for (; size; size--)
        narrow = takeByte(narrow, *at++);
    return ~narrow;
}

Function choose() noexcept {
    return hasInstruction() ? crc32cHardware : crc32cTable;
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
