// Processes: subreaper, reaping of children by pid, death signal, pidfds.
#include "common.h"
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace pclive {
namespace {

Napi::Value setSubreaper(const Napi::CallbackInfo &info) {
    if (prctl(PR_SET_CHILD_SUBREAPER, info[0].As<Napi::Boolean>().Value() ? 1 : 0, 0, 0, 0) != 0)
        throw systemError(info.Env(), errno, "prctl");
    return info.Env().Undefined();
}

Napi::Value setParentDeathSignal(const Napi::CallbackInfo &info) {
    if (prctl(PR_SET_PDEATHSIG, intArg(info, 0), 0, 0, 0) != 0)
        throw systemError(info.Env(), errno, "prctl");
    return info.Env().Undefined();
}

// (pid) -> exit code, or 128 + signal; null when it still runs or is no child
Napi::Value reapOne(const Napi::CallbackInfo &info) {
    siginfo_t end{};
    int result;
    do {
        result = waitid(P_PID, static_cast<id_t>(intArg(info, 0)), &end, WEXITED | WNOHANG);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno != ECHILD)
        throw systemError(info.Env(), errno, "waitid");
    if (result != 0 || end.si_pid == 0)
        return info.Env().Null();
    return Napi::Number::New(info.Env(), end.si_code == CLD_EXITED ? end.si_status : 128 + end.si_status);
}

// () -> the pid of a child that has ended and was not collected yet, which it stays; 0: there is none
Napi::Value peekEnded(const Napi::CallbackInfo &info) {
    siginfo_t end{};
    int result;
    do {
        result = waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT);
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno != ECHILD)
        throw systemError(info.Env(), errno, "waitid");
    return Napi::Number::New(info.Env(), result == 0 ? end.si_pid : 0);
}

Napi::Value pidfdOpen(const Napi::CallbackInfo &info) {
    const long fd = syscall(SYS_pidfd_open, intArg(info, 0), 0);
    if (fd < 0)
        throw systemError(info.Env(), errno, "pidfd_open");
    return Napi::Number::New(info.Env(), static_cast<double>(fd));
}

Napi::Value pidfdSendSignal(const Napi::CallbackInfo &info) {
    if (syscall(SYS_pidfd_send_signal, intArg(info, 0), intArg(info, 1), nullptr, 0) != 0)
        throw systemError(info.Env(), errno, "pidfd_send_signal");
    return info.Env().Undefined();
}

} // namespace

void initProcess(Napi::Env env, Napi::Object exports) {
    exports.Set("setSubreaper", Napi::Function::New(env, setSubreaper));
    exports.Set("setParentDeathSignal", Napi::Function::New(env, setParentDeathSignal));
    exports.Set("reapOne", Napi::Function::New(env, reapOne));
    exports.Set("peekEnded", Napi::Function::New(env, peekEnded));
    exports.Set("pidfdOpen", Napi::Function::New(env, pidfdOpen));
    exports.Set("pidfdSendSignal", Napi::Function::New(env, pidfdSendSignal));
}

} // namespace pclive
