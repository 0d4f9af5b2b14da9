// SPDX-License-Identifier: Apache-2.0
// A part of a pages image as memory: what is sent on from there has been copied once, not twice.
#pragma once

#include "restore/layers.hpp"

namespace pclive::restore {

class MappedChunk {
  public:
    /// Bytes [begin, end) of `file`, which must outlive this. Error "images".
    MappedChunk(const PagesFile &file, uint64_t begin, uint64_t end);
    ~MappedChunk();
    MappedChunk(const MappedChunk &) = delete;
    MappedChunk &operator=(const MappedChunk &) = delete;

    /// Brings bytes [offset, offset + size) into memory; what cannot be read is an error here, and not a
    /// signal to who looks at them. (Whoever cuts the file off after that ends the engine.) Error "images".
    const uint8_t *need(uint64_t offset, size_t size) const;

  private:
    const PagesFile &file_;
    uint64_t begin_; ///< of the mapping, in the file
    size_t size_;
    uint8_t *memory_;
};

} // namespace pclive::restore
