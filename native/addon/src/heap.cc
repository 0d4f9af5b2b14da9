// Memory that a busy time has left behind. Node collects garbage when it needs room, not when there is time
// for it, and glibc keeps what was freed: a shim that rests would hold both for good.
#include "common.h"
#include <dlfcn.h>
#include <malloc.h>

namespace pclive {
namespace {

// v8::Isolate's GetCurrent() and LowMemoryNotification(): stable for ten years, but no part of Node-API, so
// they are looked up. Where they are missing, only glibc gives memory back.
using GetCurrent = void *(*)();
using LowMemoryNotification = void (*)(void *);

void collectGarbage() {
    static const auto current =
        reinterpret_cast<GetCurrent>(dlsym(RTLD_DEFAULT, "_ZN2v87Isolate10GetCurrentEv"));
    static const auto notify = reinterpret_cast<LowMemoryNotification>(
        dlsym(RTLD_DEFAULT, "_ZN2v87Isolate21LowMemoryNotificationEv"));
    if (current != nullptr && notify != nullptr)
        notify(current());
}

Napi::Value giveBackMemory(const Napi::CallbackInfo &info) {
    collectGarbage();
    malloc_trim(0);
    return info.Env().Undefined();
}

} // namespace

void initHeap(Napi::Env env, Napi::Object exports) {
    exports.Set("giveBackMemory", Napi::Function::New(env, giveBackMemory));
}

} // namespace pclive
