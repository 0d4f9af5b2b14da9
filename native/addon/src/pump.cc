// Copies a stream to others in a thread of its own, through one bounded buffer: the bytes of a container's
// standard streams never pass through JavaScript, and a reader that is slow stops only its writer.
#include "common.h"
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <thread>
#include <vector>

namespace pclive {
namespace {

constexpr size_t kBufferBytes = 64 * 1024;

enum class Step { Go, Stopped, Failed };

class Pump {
  public:
    Pump(Napi::Env env, int input, const std::vector<int> &outputs, bool stopWhenLost)
        : env_(env), deferred_(Napi::Promise::Deferred::New(env)), stopWhenLost_(stopWhenLost) {
        input_ = duplicate(input);
        for (const int fd : outputs)
            outputs_.push_back(duplicate(fd));
        stop_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (stop_.get() < 0)
            throw systemError(env, errno, "eventfd");
    }

    // From here on the pump frees itself: when the thread has ended and JavaScript was told, or with the
    // environment.
    Napi::Promise start() {
        const Napi::Promise promise = deferred_.Promise();
        report_ = Napi::ThreadSafeFunction::New(
            env_, Napi::Function::New(env_, [](const Napi::CallbackInfo &) {}), "pclive:pump", 0, 1, this,
            [](Napi::Env, Pump *self) { delete self; });
        napi_add_env_cleanup_hook(env_, onCleanup, this);
        try {
            thread_ = std::thread([this] { run(); });
        } catch (const std::system_error &) {
            napi_remove_env_cleanup_hook(env_, onCleanup, this);
            report_.Release();
            throw systemError(env_, EAGAIN, "pthread_create");
        }
        return promise;
    }

    void stop() {
        const uint64_t one = 1;
        [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof one);
    }

  private:
    Descriptor duplicate(int fd) const {
        Descriptor copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        // Waiting is poll's business alone, so that stop always gets through.
        const int flags = copy.get() < 0 ? -1 : fcntl(copy.get(), F_GETFL);
        if (flags < 0 || fcntl(copy.get(), F_SETFL, flags | O_NONBLOCK) != 0)
            throw systemError(env_, errno, "fcntl");
        return copy;
    }

    void run() {
        const auto buffer = std::make_unique<char[]>(kBufferBytes);
        const bool hadOutputs = !outputs_.empty();
        while (!(stopWhenLost_ && hadOutputs && outputs_.empty())) {
            const ssize_t got = receive(buffer.get());
            if (got <= 0)
                break;
            bytes_ += static_cast<uint64_t>(got);
            if (deliver(buffer.get(), static_cast<size_t>(got)) == Step::Stopped)
                break;
        }
        // At once: others wait for the end of these streams.
        outputs_.clear();
        input_.reset();
        report_.BlockingCall([this](Napi::Env env, Napi::Function) { settle(env); });
        report_.Release();
    }

    Step await(int fd, short events) {
        pollfd wanted[2] = {{fd, events, 0}, {stop_.get(), POLLIN, 0}};
        while (poll(wanted, 2, -1) < 0) {
            if (errno != EINTR)
                return Step::Failed;
        }
        return wanted[1].revents != 0 ? Step::Stopped : Step::Go;
    }

    // Bytes read; 0 at the end, when stopped, and on failure (error_ tells).
    ssize_t receive(char *buffer) {
        for (;;) {
            const Step step = await(input_.get(), POLLIN);
            if (step == Step::Stopped)
                return 0;
            const ssize_t got = step == Step::Go ? read(input_.get(), buffer, kBufferBytes) : -1;
            if (got >= 0)
                return got;
            if (errno == EAGAIN || errno == EINTR)
                continue;
            // A terminal's master says EIO when the last process has closed the other side.
            if (errno != EIO)
                error_ = errno;
            return 0;
        }
    }

    Step deliver(const char *buffer, size_t size) {
        for (size_t i = 0; i < outputs_.size();) {
            const Step step = writeAll(outputs_[i].get(), buffer, size);
            if (step == Step::Stopped)
                return step;
            // An output that has gone is left out; the process must not hang for it.
            if (step == Step::Failed)
                outputs_.erase(outputs_.begin() + static_cast<ptrdiff_t>(i));
            else
                ++i;
        }
        return Step::Go;
    }

    Step writeAll(int fd, const char *from, size_t size) {
        while (size > 0) {
            const ssize_t put = write(fd, from, size);
            if (put >= 0) {
                from += put;
                size -= static_cast<size_t>(put);
            } else if (errno == EAGAIN) {
                if (const Step step = await(fd, POLLOUT); step != Step::Go)
                    return step;
            } else if (errno != EINTR) {
                return Step::Failed;
            }
        }
        return Step::Go;
    }

    void settle(Napi::Env env) {
        if (thread_.joinable())
            thread_.join();
        napi_remove_env_cleanup_hook(env, onCleanup, this);
        if (error_ != 0)
            deferred_.Reject(systemError(env, error_, "read").Value());
        else
            deferred_.Resolve(Napi::Number::New(env, static_cast<double>(bytes_)));
    }

    static void onCleanup(void *data) {
        auto *self = static_cast<Pump *>(data);
        self->stop();
        if (self->thread_.joinable())
            self->thread_.join();
    }

    Napi::Env env_;
    Napi::Promise::Deferred deferred_;
    Napi::ThreadSafeFunction report_;
    Descriptor input_, stop_;
    std::vector<Descriptor> outputs_;
    const bool stopWhenLost_;
    std::thread thread_;
    uint64_t bytes_ = 0;
    int error_ = 0;
};

// (input, outputs, stopWhenLost) -> {done, stop}
Napi::Value startPump(const Napi::CallbackInfo &info) {
    const Napi::Env env = info.Env();
    const auto list = info[1].As<Napi::Array>();
    std::vector<int> outputs;
    for (uint32_t i = 0; i < list.Length(); ++i)
        outputs.push_back(list.Get(i).As<Napi::Number>().Int32Value());
    auto pump = std::make_unique<Pump>(env, intArg(info, 0), outputs, info[2].As<Napi::Boolean>().Value());
    Pump *running = pump.get();
    Napi::Object result = Napi::Object::New(env);
    result.Set("done", pump.release()->start());
    // pump.ts calls it only while `done` is pending: the pump exists then.
    result.Set("stop", Napi::Function::New(env, [running](const Napi::CallbackInfo &) { running->stop(); }));
    return result;
}

} // namespace

void initPump(Napi::Env env, Napi::Object exports) {
    exports.Set("startPump", Napi::Function::New(env, startPump));
}

} // namespace pclive
