// The shim's JavaScript, when this addon is also the shim's program: bytes that were linked in.
#define NAPI_EXPERIMENTAL // for strings that are not copied
#include <node_api.h>

#include <cstddef>

// Defined by the linked file only; elsewhere their addresses are null.
extern "C" {
__attribute__((weak, visibility("hidden"))) extern char pclive_source_begin[];
__attribute__((weak, visibility("hidden"))) extern char pclive_source_end[];
__attribute__((weak, visibility("hidden"))) extern char pclive_cache_begin[];
__attribute__((weak, visibility("hidden"))) extern char pclive_cache_end[];
}

namespace {

// () -> {source, cache}: the source in Latin-1 (it is ASCII), V8's code cache. Neither is copied: both are
// pages of the file, which all shims share.
napi_value payload(napi_env env, napi_callback_info) {
    napi_value result, source, cache;
    bool copied = false;
    const auto size = static_cast<size_t>(pclive_source_end - pclive_source_begin);
    const auto cacheSize = static_cast<size_t>(pclive_cache_end - pclive_cache_begin);
    if (node_api_create_external_string_latin1(env, pclive_source_begin, size, nullptr, nullptr, &source,
                                               &copied) != napi_ok ||
        napi_create_external_buffer(env, cacheSize, pclive_cache_begin, nullptr, nullptr, &cache) !=
            napi_ok ||
        napi_create_object(env, &result) != napi_ok ||
        napi_set_named_property(env, result, "source", source) != napi_ok ||
        napi_set_named_property(env, result, "cache", cache) != napi_ok) {
        napi_throw_error(env, nullptr, "the shim's code cannot be taken out of its file");
        return nullptr;
    }
    return result;
}

} // namespace

namespace pclive {

void initPayload(napi_env env, napi_value exports) {
    if (pclive_source_begin == nullptr)
        return;
    napi_value function;
    if (napi_create_function(env, "payload", NAPI_AUTO_LENGTH, payload, nullptr, &function) == napi_ok)
        napi_set_named_property(env, exports, "payload", function);
}

} // namespace pclive
