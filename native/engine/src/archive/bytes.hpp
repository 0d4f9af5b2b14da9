// SPDX-License-Identifier: Apache-2.0
// Bytes on their way into a stream and out of one.
#pragma once

#include "control/fd.hpp"
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pclive::archive {

inline constexpr size_t kPiece = 1u << 20;

class ByteSink {
  public:
    virtual ~ByteSink() = default;
    virtual void write(const uint8_t *bytes, size_t size) = 0;
    /// After the last byte.
    virtual void finish() = 0;
};

class ByteSource {
  public:
    virtual ~ByteSource() = default;
    /// At most `size` bytes, at least one; 0 at the end.
    virtual size_t read(uint8_t *to, size_t size) = 0;
    /// As many as there are, up to `size`.
    size_t readFully(uint8_t *to, size_t size);
};

/// A pipe, socket or file. Errors: "no-space", "stream".
class FdSink final : public ByteSink {
  public:
    explicit FdSink(int fd) : fd_(fd) {}
    void write(const uint8_t *bytes, size_t size) override;
    void finish() override {}

  private:
    int fd_;
};

/// Errors: "stream".
class FdSource final : public ByteSource {
  public:
    explicit FdSource(int fd) : fd_(fd) {}
    size_t read(uint8_t *to, size_t size) override;
    /// These come first again.
    void putBack(const uint8_t *bytes, size_t size) { ahead_.insert(ahead_.begin(), bytes, bytes + size); }

  private:
    int fd_;
    std::vector<uint8_t> ahead_;
};

} // namespace pclive::archive
