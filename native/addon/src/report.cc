// The shim's parting from its launcher (native/launcher), which waits for a report on descriptor 3. Until
// then descriptor 0 is what containerd wrote, and 2 is the report, too: for what Node itself may have to
// complain about.
#include "common.h"
#include <fcntl.h>

namespace pclive {
namespace {

constexpr int CHANNEL = 3;

// (bytes): all that is to be said.
void report(const Napi::CallbackInfo &info) {
    const auto bytes = info[0].As<Napi::Uint8Array>();
    for (size_t done = 0; done < bytes.ByteLength();) {
        const ssize_t put = write(CHANNEL, bytes.Data() + done, bytes.ByteLength() - done);
        if (put < 0 && errno != EINTR)
            throw systemError(info.Env(), errno, "write", "report");
        done += put > 0 ? static_cast<size_t>(put) : 0;
    }
    close(CHANNEL);
}

void replace(Napi::Env env, int fd, const Descriptor &by) {
    if (by.get() < 0 || dup2(by.get(), fd) < 0)
        throw systemError(env, errno, "dup2", std::to_string(fd));
}

// Lets go of what belongs to containerd. Descriptor 2 becomes the bundle's log (V8 writes its last words
// there), or nothing when nobody reads that.
void leaveLauncher(const Napi::CallbackInfo &info) {
    const Descriptor null(open("/dev/null", O_RDWR | O_CLOEXEC));
    const Descriptor log(open("log", O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    replace(info.Env(), 0, null);
    replace(info.Env(), 2, log.get() < 0 ? null : log);
}

} // namespace

void initReport(Napi::Env env, Napi::Object exports) {
    exports.Set("report", Napi::Function::New(env, report));
    exports.Set("leaveLauncher", Napi::Function::New(env, leaveLauncher));
}

} // namespace pclive
