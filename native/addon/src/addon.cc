#include "common.h"
#include <uv.h>

namespace pclive {

void initPayload(napi_env env, napi_value exports); // knows nothing of node-addon-api

Napi::Error systemError(Napi::Env env, int code, const char *syscall, const std::string &detail) {
    const std::string name = uv_err_name(-code);
    std::string message = name + ": " + uv_strerror(-code) + ", " + syscall;
    if (!detail.empty())
        message += " '" + detail + "'";
    Napi::Error error = Napi::Error::New(env, message);
    error.Set("code", Napi::String::New(env, name));
    error.Set("errno", Napi::Number::New(env, -code));
    error.Set("syscall", Napi::String::New(env, syscall));
    return error;
}

static Napi::Object init(Napi::Env env, Napi::Object exports) {
    initAttributes(env, exports);
    initDescriptors(env, exports);
    initDigest(env, exports);
    initHeap(env, exports);
    initMapped(env, exports);
    initMounts(env, exports);
    initPayload(env, exports);
    initPoller(env, exports);
    initProcess(env, exports);
    initPump(env, exports);
    initReport(env, exports);
    initSocket(env, exports);
    initSpawn(env, exports);
    return exports;
}

} // namespace pclive

static Napi::Object initialise(Napi::Env env, Napi::Object exports) {
    return pclive::init(env, exports);
}
NODE_API_MODULE(pclive, initialise)
