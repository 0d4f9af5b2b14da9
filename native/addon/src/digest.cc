#include "common.h"
#include "sha256.h"

namespace pclive {
namespace {

// (text) -> the digest as hex digits
Napi::Value hexDigest(const Napi::CallbackInfo &info) {
    const std::string text = stringArg(info, 0);
    char hex[SHA256_HEX];
    sha256(text.data(), text.size(), hex);
    return Napi::String::New(info.Env(), hex);
}

} // namespace

void initDigest(Napi::Env env, Napi::Object exports) {
    exports.Set("sha256", Napi::Function::New(env, hexDigest));
}

} // namespace pclive
