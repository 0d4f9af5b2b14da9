// mount and umount2, as the kernel has them; what the flags mean is known to mount.ts.
#include "common.h"
#include <sched.h>
#include <sys/mount.h>
#include <thread>

namespace pclive {
namespace {

struct MountCall {
    std::string source, target, type, data, directory;
    unsigned long flags;

    // 0 or an errno
    int run() const {
        const char *text = data.empty() ? nullptr : data.c_str();
        return ::mount(source.c_str(), target.c_str(), type.empty() ? nullptr : type.c_str(), flags, text) ==
                       0
                   ? 0
                   : errno;
    }

    // Relative paths in data are resolved against the working directory. A thread of its own gets one of its
    // own.
    int runInDirectory() const {
        int result = 0;
        std::thread([&] {
            if (unshare(CLONE_FS) != 0 || chdir(directory.c_str()) != 0)
                result = errno;
            else
                result = run();
        }).join();
        return result;
    }
};

// (source, target, type, flags, data, directory)
Napi::Value mountCall(const Napi::CallbackInfo &info) {
    const MountCall call{
        stringArg(info, 0), stringArg(info, 1),
        stringArg(info, 2), stringArg(info, 4),
        stringArg(info, 5), static_cast<unsigned long>(info[3].As<Napi::Number>().Int64Value())};
    const int code = call.directory.empty() ? call.run() : call.runInDirectory();
    if (code != 0)
        throw systemError(info.Env(), code, "mount", call.target);
    return info.Env().Undefined();
}

// (target, lazy)
Napi::Value unmountCall(const Napi::CallbackInfo &info) {
    const std::string target = stringArg(info, 0);
    const int lazy = info[1].As<Napi::Boolean>().Value() ? MNT_DETACH : 0;
    if (umount2(target.c_str(), UMOUNT_NOFOLLOW | lazy) != 0)
        throw systemError(info.Env(), errno, "umount2", target);
    return info.Env().Undefined();
}

} // namespace

void initMounts(Napi::Env env, Napi::Object exports) {
    exports.Set("mount", Napi::Function::New(env, mountCall));
    exports.Set("unmount", Napi::Function::New(env, unmountCall));
}

} // namespace pclive
