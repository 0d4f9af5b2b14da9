// SHA-256 by the OpenSSL that is part of Node: loading Node's own crypto module takes longer than a shim's
// other work.
#include "common.h"
#include <openssl/evp.h>

namespace pclive {
namespace {

// (text) -> the digest as hex digits
Napi::Value sha256(const Napi::CallbackInfo &info) {
    const std::string text = stringArg(info, 0);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha256(), nullptr) != 1)
        throw Napi::Error::New(info.Env(), "SHA-256 is not available in this Node");
    static const char digits[] = "0123456789abcdef";
    std::string hex;
    for (unsigned int i = 0; i < size; i++) {
        hex += digits[digest[i] >> 4];
        hex += digits[digest[i] & 15];
    }
    return Napi::String::New(info.Env(), hex);
}

} // namespace

void initDigest(Napi::Env env, Napi::Object exports) {
    exports.Set("sha256", Napi::Function::New(env, sha256));
}

} // namespace pclive
