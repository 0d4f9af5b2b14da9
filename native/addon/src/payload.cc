// The shim's JavaScript, when this addon is also the shim's program: bytes that were linked in.
#define NAPI_EXPERIMENTAL // for strings that are not copied
#include <node_api.h>

#include <cstddef>

// Defined by the linked file only; elsewhere their addresses are null.
#define PCLIVE_BLOB(name)                                                                                    \
    extern "C" __attribute__((weak, visibility("hidden"))) char name##_begin[], name##_end[]
PCLIVE_BLOB(pclive_start_source);
PCLIVE_BLOB(pclive_start_cache);
PCLIVE_BLOB(pclive_rest_source);
PCLIVE_BLOB(pclive_rest_cache);
PCLIVE_BLOB(pclive_zod_source);
PCLIVE_BLOB(pclive_zod_cache);

namespace {

struct Blob {
    char *begin, *end;
    [[nodiscard]] size_t size() const { return static_cast<size_t>(end - begin); }
};

// One of the three, under the name of the function that gives it out.
struct Script {
    const char *name;
    Blob source, cache;
};

// {source, cache}: the source in Latin-1 (it is ASCII), V8's code cache. Neither is copied: both are pages of
// the file, which all shims share. Null with an exception pending.
napi_value give(napi_env env, napi_callback_info info) {
    void *data = nullptr;
    napi_value result, text, bytes;
    bool copied = false;
    napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
    const auto &[name, source, cache] = *static_cast<const Script *>(data);
    if (node_api_create_external_string_latin1(env, source.begin, source.size(), nullptr, nullptr, &text,
                                               &copied) == napi_ok &&
        napi_create_external_buffer(env, cache.size(), cache.begin, nullptr, nullptr, &bytes) == napi_ok &&
        napi_create_object(env, &result) == napi_ok &&
        napi_set_named_property(env, result, "source", text) == napi_ok &&
        napi_set_named_property(env, result, "cache", bytes) == napi_ok)
        return result;
    napi_throw_error(env, nullptr, "the shim's code cannot be taken out of its file");
    return nullptr;
}

void add(napi_env env, napi_value exports, const Script &script) {
    napi_value function;
    // The data of a function is not constant to Node, but to us.
    if (napi_create_function(env, script.name, NAPI_AUTO_LENGTH, give, const_cast<Script *>(&script),
                             &function) == napi_ok)
        napi_set_named_property(env, exports, script.name, function);
}

} // namespace

namespace pclive {

void initPayload(napi_env env, napi_value exports) {
    static const Script kScripts[] = {
        {"startScript",
         {pclive_start_source_begin, pclive_start_source_end},
         {pclive_start_cache_begin, pclive_start_cache_end}},
        {"restScript",
         {pclive_rest_source_begin, pclive_rest_source_end},
         {pclive_rest_cache_begin, pclive_rest_cache_end}},
        {"zodScript",
         {pclive_zod_source_begin, pclive_zod_source_end},
         {pclive_zod_cache_begin, pclive_zod_cache_end}},
    };
    if (pclive_start_source_begin == nullptr)
        return;
    for (const auto &script : kScripts)
        add(env, exports, script);
}

} // namespace pclive
