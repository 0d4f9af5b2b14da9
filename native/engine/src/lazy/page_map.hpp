// SPDX-License-Identifier: Apache-2.0
// What of an address space is still to be filled, and from where; it follows what the process does to its
// mappings meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace pclive::lazy {

/// Addresses [start, end), whole pages, come from `offset` of a pages file on.
struct Part {
    uint64_t start, end;
    size_t file; ///< index in Layers::files()
    uint64_t offset;

    /// What of it lies in [low, high), which must overlap it.
    [[nodiscard]] Part within(uint64_t low, uint64_t high) const;
};

class PageMap {
  public:
    /// Must not overlap what is there.
    void add(const Part &part);
    /// What of the block of `size` bytes (a power of two) around `address` lies in one part with it.
    [[nodiscard]] std::optional<Part> around(uint64_t address, uint64_t size) const;
    /// The lowest part, at most `size` bytes of it.
    [[nodiscard]] std::optional<Part> first(uint64_t size) const;
    void erase(uint64_t start, uint64_t end);
    /// [from, from + size) is at `to` now, where it has replaced what was there.
    void move(uint64_t from, uint64_t to, uint64_t size);
    [[nodiscard]] bool empty() const { return parts_.empty(); }

  private:
    void splitAt(uint64_t address);

    std::map<uint64_t, Part> parts_; // by start
};

} // namespace pclive::lazy
