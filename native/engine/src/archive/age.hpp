// SPDX-License-Identifier: Apache-2.0
// The payload of a file encrypted by age (its specification, version 1): chunks of 64 KiB, each sealed with
// its number and with whether it is the last one, so that none can be changed, moved, left out or added. The
// header, which brings the key of the file, is made and read by whoever knows the recipients.
#pragma once

#include "archive/bytes.hpp"
#include <array>
#include <memory>
#include <openssl/evp.h>

namespace pclive::archive {

inline constexpr size_t kAgeKeyBytes = 16;
using AgeKey = std::array<uint8_t, kAgeKeyBytes>;

inline constexpr const char *kAgeMagic = "age-encryption.org/";

/// The header up to its end, taken off the source; empty when what comes is not encrypted, and nothing is
/// taken then. Error "images" when it is cut off or is none.
std::string takeAgeHeader(FdSource &source);

/// Seals chunk after chunk.
class AgeCipher {
  public:
    static constexpr size_t kChunk = 64u << 10, kTag = 16, kNonce = 16;
    enum class Way : uint8_t { seal, open };

    AgeCipher(Way way, const AgeKey &key, const std::array<uint8_t, kNonce> &nonce);
    /// `to` has room for kTag more.
    void seal(const uint8_t *from, size_t size, bool last, uint8_t *to);
    /// `size` is that of the sealed chunk. False when it is not what was sealed.
    bool open(const uint8_t *from, size_t size, bool last, uint8_t *to);

  private:
    void begin(bool last);
    std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context_;
    uint64_t number_ = 0;
};

class AgeSink final : public ByteSink {
  public:
    /// Writes the header, and what is needed besides it.
    AgeSink(ByteSink &to, const std::string &header, const AgeKey &key);
    void write(const uint8_t *bytes, size_t size) override;
    void finish() override;

  private:
    void put(bool last);
    ByteSink &to_;
    std::unique_ptr<AgeCipher> cipher_;
    std::vector<uint8_t> plain_, sealed_;
};

/// Behind the header. Error "images" when a chunk is not what was sealed, or the end is missing.
class AgeSource final : public ByteSource {
  public:
    AgeSource(ByteSource &from, const AgeKey &key);
    size_t read(uint8_t *to, size_t size) override;

  private:
    void next();
    ByteSource &from_;
    std::unique_ptr<AgeCipher> cipher_;
    std::vector<uint8_t> sealed_, plain_;
    size_t ahead_ = 0; ///< bytes of the next chunk in sealed_
    size_t at_ = 0, end_ = 0;
    bool first_ = true, last_ = false;
};

} // namespace pclive::archive
