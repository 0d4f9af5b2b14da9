// Tells JavaScript when a descriptor is readable, for kinds that Node's streams do not know (eventfd, pidfd).
#include "common.h"
#include <uv.h>

namespace pclive {
namespace {

class Poller {
  public:
    Poller(Napi::Env env, int fd, Napi::Function callback)
        : env_(env), context_(env, "pclive:poller"), callback_(Napi::Persistent(callback)) {
        uv_loop_t *loop = nullptr;
        napi_get_uv_event_loop(env, &loop);
        code_ = uv_poll_init(loop, &poll_, fd);
        poll_.data = this;
    }

    // 0 or an errno. On failure of the first step there is nothing to close.
    int start() {
        if (code_ != 0)
            return -code_;
        napi_add_async_cleanup_hook(env_, onCleanup, this, &hook_);
        // A watch alone is no reason for a process to go on.
        uv_unref(reinterpret_cast<uv_handle_t *>(&poll_));
        return -uv_poll_start(&poll_, UV_READABLE, onEvent);
    }

    void stop() {
        if (stopped_)
            return;
        stopped_ = true;
        uv_close(reinterpret_cast<uv_handle_t *>(&poll_), onClosed);
    }

  private:
    static void onEvent(uv_poll_t *poll, int status, int events) {
        auto *self = static_cast<Poller *>(poll->data);
        Napi::HandleScope scope(self->env_);
        // The callback may stop this poller, which is freed only after the loop has gone round.
        try {
            self->callback_.MakeCallback(self->env_.Global(), {}, self->context_);
        } catch (const Napi::Error &error) {
            napi_fatal_exception(self->env_, error.Value());
        }
    }

    static void onClosed(uv_handle_t *handle) {
        auto *self = static_cast<Poller *>(handle->data);
        Napi::HandleScope scope(self->env_);
        if (self->hook_ != nullptr)
            napi_remove_async_cleanup_hook(self->hook_);
        delete self;
    }

    static void onCleanup(napi_async_cleanup_hook_handle, void *data) { static_cast<Poller *>(data)->stop(); }

    Napi::Env env_;
    Napi::AsyncContext context_;
    Napi::FunctionReference callback_;
    uv_poll_t poll_{};
    int code_ = 0;
    bool stopped_ = false;
    napi_async_cleanup_hook_handle hook_ = nullptr;
};

// (fd, callback) -> stop(); the callback runs whenever there is something to read
Napi::Value watchReadable(const Napi::CallbackInfo &info) {
    auto *poller = new Poller(info.Env(), intArg(info, 0), info[1].As<Napi::Function>());
    if (const int code = poller->start(); code != 0) {
        delete poller;
        throw systemError(info.Env(), code, "epoll_ctl");
    }
    // The function forgets the poller when it has stopped it: a second call does nothing.
    return Napi::Function::New(info.Env(), [poller](const Napi::CallbackInfo &) mutable {
        if (poller != nullptr)
            poller->stop();
        poller = nullptr;
    });
}

} // namespace

void initPoller(Napi::Env env, Napi::Object exports) {
    exports.Set("watchReadable", Napi::Function::New(env, watchReadable));
}

} // namespace pclive
