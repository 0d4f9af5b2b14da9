// SPDX-License-Identifier: Apache-2.0
#include "archive/age.hpp"
#include "control/error.hpp"
#include <algorithm>
#include <cstring>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

namespace pclive::archive {
namespace {

constexpr size_t kMaxHeader = 32u << 10;
constexpr size_t kPayloadKey = 32, kChunkNonce = 12;

Error cryptoFailed() {
    return Error("internal", "OpenSSL cannot do what an encrypted archive needs");
}

Error damaged() {
    return Error("images", "the archive is damaged or cut off: an encrypted part is not what was written",
                 "bring it over once more; nothing of it was used");
}

std::array<uint8_t, kPayloadKey> payloadKey(const AgeKey &key, std::array<uint8_t, AgeCipher::kNonce> nonce) {
    std::unique_ptr<EVP_KDF, decltype(&EVP_KDF_free)> hkdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr),
                                                           EVP_KDF_free);
    std::unique_ptr<EVP_KDF_CTX, decltype(&EVP_KDF_CTX_free)> context(
        hkdf ? EVP_KDF_CTX_new(hkdf.get()) : nullptr, EVP_KDF_CTX_free);
    if (!context)
        throw cryptoFailed();
    char digest[] = "SHA256", info[] = "payload";
    auto secret = key;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, nonce.data(), nonce.size()),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, std::strlen(info)),
        OSSL_PARAM_construct_end()};
    std::array<uint8_t, kPayloadKey> derived{};
    if (EVP_KDF_derive(context.get(), derived.data(), derived.size(), parameters) != 1)
        throw cryptoFailed();
    return derived;
}

} // namespace

std::string takeAgeHeader(FdSource &source) {
    std::string header(std::strlen(kAgeMagic), '\0');
    auto bytes = [&] { return reinterpret_cast<uint8_t *>(header.data()); };
    header.resize(source.readFully(bytes(), header.size()));
    if (header != kAgeMagic) {
        source.putBack(bytes(), header.size());
        return {};
    }
    // The last of its lines begins with three dashes.
    size_t line = 0;
    for (uint8_t byte; source.readFully(&byte, 1);) {
        header.push_back(static_cast<char>(byte));
        if ((byte < ' ' && byte != '\n') || byte > '~' || header.size() > kMaxHeader)
            break;
        if (byte != '\n')
            continue;
        if (header.compare(line, 4, "--- ") == 0)
            return header;
        line = header.size();
    }
    throw Error("images", "the head of the encrypted archive is damaged or cut off");
}

AgeCipher::AgeCipher(Way way, const AgeKey &key, const std::array<uint8_t, kNonce> &nonce)
    : context_(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free) {
    auto derived = payloadKey(key, nonce);
    if (!context_ || EVP_CipherInit_ex(context_.get(), EVP_chacha20_poly1305(), nullptr, derived.data(),
                                       nullptr, way == Way::seal) != 1)
        throw cryptoFailed();
}

/// The nonce of a chunk is its number, in 11 bytes, and whether it is the last.
void AgeCipher::begin(bool last) {
    std::array<uint8_t, kChunkNonce> nonce{};
    for (size_t i = 0; i < sizeof number_; i++)
        nonce[kChunkNonce - 2 - i] = static_cast<uint8_t>(number_ >> (8 * i));
    nonce.back() = last;
    if (EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, nonce.data(), -1) != 1)
        throw cryptoFailed();
}

void AgeCipher::seal(const uint8_t *from, size_t size, bool last, uint8_t *to) {
    int put = 0, rest = 0;
    begin(last);
    if (EVP_CipherUpdate(context_.get(), to, &put, from, static_cast<int>(size)) != 1 ||
        EVP_CipherFinal_ex(context_.get(), to + put, &rest) != 1 ||
        EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kTag, to + size) != 1)
        throw cryptoFailed();
    number_++;
}

bool AgeCipher::open(const uint8_t *from, size_t size, bool last, uint8_t *to) {
    if (size < kTag)
        return false;
    std::array<uint8_t, kTag> tag{};
    std::copy_n(from + size - kTag, kTag, tag.begin());
    int put = 0, rest = 0;
    begin(last);
    number_++;
    return EVP_CipherUpdate(context_.get(), to, &put, from, static_cast<int>(size - kTag)) == 1 &&
           EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kTag, tag.data()) == 1 &&
           EVP_CipherFinal_ex(context_.get(), to + put, &rest) == 1;
}

AgeSink::AgeSink(ByteSink &to, const std::string &header, const AgeKey &key)
    : to_(to), sealed_(AgeCipher::kChunk + AgeCipher::kTag) {
    std::array<uint8_t, AgeCipher::kNonce> nonce{};
    if (RAND_bytes(nonce.data(), nonce.size()) != 1)
        throw cryptoFailed();
    cipher_ = std::make_unique<AgeCipher>(AgeCipher::Way::seal, key, nonce);
    to_.write(reinterpret_cast<const uint8_t *>(header.data()), header.size());
    to_.write(nonce.data(), nonce.size());
    plain_.reserve(AgeCipher::kChunk);
}

void AgeSink::write(const uint8_t *bytes, size_t size) {
    while (size) {
        // A full chunk waits: it may be the last one.
        if (plain_.size() == AgeCipher::kChunk)
            put(false);
        size_t some = std::min(size, AgeCipher::kChunk - plain_.size());
        plain_.insert(plain_.end(), bytes, bytes + some);
        bytes += some;
        size -= some;
    }
}

void AgeSink::finish() {
    put(true);
    to_.finish();
}

void AgeSink::put(bool last) {
    cipher_->seal(plain_.data(), plain_.size(), last, sealed_.data());
    to_.write(sealed_.data(), plain_.size() + AgeCipher::kTag);
    plain_.clear();
}

AgeSource::AgeSource(ByteSource &from, const AgeKey &key)
    : from_(from), sealed_(AgeCipher::kChunk + AgeCipher::kTag + 1), plain_(AgeCipher::kChunk) {
    std::array<uint8_t, AgeCipher::kNonce> nonce{};
    if (from_.readFully(nonce.data(), nonce.size()) != nonce.size())
        throw damaged();
    cipher_ = std::make_unique<AgeCipher>(AgeCipher::Way::open, key, nonce);
}

size_t AgeSource::read(uint8_t *to, size_t size) {
    if (at_ == end_ && !last_)
        next();
    size_t count = std::min(size, end_ - at_);
    std::copy_n(plain_.begin() + static_cast<ptrdiff_t>(at_), count, to);
    at_ += count;
    return count;
}

/// One byte more than a chunk is read: whether there is one tells whether this chunk must be the last.
void AgeSource::next() {
    size_t got = ahead_ + from_.readFully(sealed_.data() + ahead_, sealed_.size() - ahead_);
    last_ = got < sealed_.size();
    size_t size = last_ ? got : got - 1;
    bool empty = size == AgeCipher::kTag;
    if ((empty && !first_) || !cipher_->open(sealed_.data(), size, last_, plain_.data()))
        throw damaged();
    first_ = false;
    at_ = 0;
    end_ = size - AgeCipher::kTag;
    sealed_[0] = sealed_.back();
    ahead_ = 1;
}

} // namespace pclive::archive
