// The mover for JavaScript: streams are begun and stopped by id, each tells its end by a promise. The bytes
// of a container's standard streams never pass through JavaScript.
#include "mover.h"
#include <fcntl.h>
#include <unordered_map>

namespace pclive {
namespace {

// One of an environment, made when the addon is loaded and deleted with the environment.
class Pumps {
  public:
    explicit Pumps(Napi::Env env)
        : env_(env), mover_([this](Mover::Id id, uint64_t bytes, int error) { tell(id, bytes, error); }) {
        report_ = Napi::ThreadSafeFunction::New(
            env, Napi::Function::New(env, [](const Napi::CallbackInfo &) {}), "pclive:pump", 0, 1);
        // A pump keeps the process going, their maker alone does not.
        report_.Unref(env);
    }

    // Works on duplicates of the descriptors. output < 0: none.
    Napi::Object start(int input, int output, WhenLost whenLost) {
        Descriptor from = duplicate(input);
        Descriptor to = output < 0 ? Descriptor() : duplicate(output);
        auto stream = std::make_unique<Stream>(std::move(from), std::move(to), whenLost);
        if (const int code = mover_.start(); code != 0)
            throw systemError(env_, code, "pthread_create");
        const Mover::Id id = ++last_;
        const auto deferred = Napi::Promise::Deferred::New(env_);
        if (running_.empty())
            report_.Ref(env_);
        running_.emplace(id, deferred);
        mover_.add(id, std::move(stream));
        Napi::Object result = Napi::Object::New(env_);
        result.Set("done", deferred.Promise());
        result.Set("stop",
                   Napi::Function::New(env_, [this, id](const Napi::CallbackInfo &) { mover_.stop(id); }));
        return result;
    }

  private:
    Descriptor duplicate(int fd) const {
        Descriptor copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        // Nothing in the one thread may wait for a single stream.
        const int flags = copy.get() < 0 ? -1 : fcntl(copy.get(), F_GETFL);
        if (flags < 0 || fcntl(copy.get(), F_SETFL, flags | O_NONBLOCK) != 0)
            throw systemError(env_, errno, "fcntl");
        return copy;
    }

    // In the mover's thread.
    void tell(Mover::Id id, uint64_t bytes, int error) {
        report_.BlockingCall(
            [this, id, bytes, error](Napi::Env, Napi::Function) { settle(id, bytes, error); });
    }

    void settle(Mover::Id id, uint64_t bytes, int error) {
        const auto found = running_.find(id);
        const Napi::Promise::Deferred deferred = found->second;
        running_.erase(found);
        if (running_.empty())
            report_.Unref(env_);
        if (error != 0)
            deferred.Reject(systemError(env_, error, "read").Value());
        else
            deferred.Resolve(Napi::Number::New(env_, static_cast<double>(bytes)));
    }

    const Napi::Env env_;
    Napi::ThreadSafeFunction report_;
    std::unordered_map<Mover::Id, Napi::Promise::Deferred> running_;
    Mover::Id last_ = 0;
    // Last: its thread ends before what it reports to.
    Mover mover_;
};

} // namespace

void initPump(Napi::Env env, Napi::Object exports) {
    auto *pumps = new Pumps(env);
    env.AddCleanupHook([pumps] { delete pumps; });
    // (input, output or -1, end when the output is lost) -> {done, stop}
    exports.Set("startPump", Napi::Function::New(env, [pumps](const Napi::CallbackInfo &info) {
                    const WhenLost whenLost =
                        info[2].As<Napi::Boolean>().Value() ? WhenLost::End : WhenLost::ReadOn;
                    return pumps->start(intArg(info, 0), intArg(info, 1), whenLost);
                }));
}

} // namespace pclive
