// Unix stream sockets on Node's loop without Node's net module, which takes a shim's start longer to load
// than the shim itself. JavaScript gets bytes as they come, and is told when what it wrote has gone out.
#include "common.h"
#include <fcntl.h>
#include <memory>
#include <sys/un.h>
#include <uv.h>
#include <vector>

namespace pclive {
namespace {

// One handle of libuv, which lives until the loop has closed it, whatever JavaScript still holds of it.
class Handle : public std::enable_shared_from_this<Handle> {
  public:
    explicit Handle(Napi::Env env) : env_(env), context_(env, "pclive:socket") {
        uv_loop_t *loop = nullptr;
        napi_get_uv_event_loop(env, &loop);
        uv_pipe_init(loop, &pipe_, 0);
        pipe_.data = this;
    }
    virtual ~Handle() = default;

    // From now on the loop has it.
    void keep() {
        self_ = shared_from_this();
        napi_add_async_cleanup_hook(env_, onCleanup, this, &hook_);
    }

    void close() {
        if (closing_)
            return;
        closing_ = true;
        uv_close(reinterpret_cast<uv_handle_t *>(&pipe_), onClosed);
    }

    int descriptor() const {
        uv_os_fd_t fd = -1;
        return uv_fileno(reinterpret_cast<const uv_handle_t *>(&pipe_), &fd) == 0 ? fd : -1;
    }

  protected:
    virtual void closed() = 0;

    void call(const Napi::FunctionReference &callback, const std::vector<napi_value> &arguments) {
        try {
            callback.MakeCallback(env_.Global(), arguments, context_);
        } catch (const Napi::Error &error) {
            napi_fatal_exception(env_, error.Value());
        }
    }

    Napi::Env env_;
    Napi::AsyncContext context_;
    uv_pipe_t pipe_{};
    bool closing_ = false;

  private:
    static void onClosed(uv_handle_t *handle) {
        auto *self = static_cast<Handle *>(handle->data);
        Napi::HandleScope scope(self->env_);
        napi_remove_async_cleanup_hook(self->hook_);
        self->closed();
        self->self_.reset();
    }
    static void onCleanup(napi_async_cleanup_hook_handle, void *data) {
        static_cast<Handle *>(data)->close();
    }

    std::shared_ptr<Handle> self_;
    napi_async_cleanup_hook_handle hook_ = nullptr;
};

class Socket : public Handle {
  public:
    using Handle::Handle;

    uv_stream_t *stream() { return reinterpret_cast<uv_stream_t *>(&pipe_); }

    // Callbacks: data(bytes), end(), drain(), closed().
    Napi::Object wrap();

    void open(Napi::Object events) {
        for (const auto &[name, reference] :
             {std::pair{"data", &data_}, {"end", &end_}, {"drain", &drain_}, {"closed", &closed_}})
            *reference = Napi::Persistent(events.Get(name).As<Napi::Function>());
    }

    void resume() {
        if (!closing_ && !ended_)
            uv_read_start(stream(), onAllocate, onRead);
    }
    void pause() {
        if (!closing_)
            uv_read_stop(stream());
    }

    // What does not go out at once is copied. Returns how many bytes wait.
    size_t write(const uint8_t *bytes, size_t size) {
        if (closing_ || shutdown_)
            return pending_;
        if (pending_ == 0) {
            uv_buf_t whole = uv_buf_init(reinterpret_cast<char *>(const_cast<uint8_t *>(bytes)),
                                         static_cast<unsigned>(size));
            const int done = uv_try_write(stream(), &whole, 1);
            if (done < 0 && done != UV_EAGAIN) {
                close();
                return 0;
            }
            bytes += done > 0 ? done : 0;
            size -= done > 0 ? static_cast<size_t>(done) : 0;
        }
        if (size == 0)
            return pending_;
        auto *request = new Write{{}, this, {bytes, bytes + size}};
        request->request.data = request;
        uv_buf_t rest =
            uv_buf_init(reinterpret_cast<char *>(request->bytes.data()), static_cast<unsigned>(size));
        pending_ += size;
        if (uv_write(&request->request, stream(), &rest, 1, onWritten) != 0) {
            pending_ -= size;
            delete request;
            close();
        }
        return pending_;
    }

    // No more is written; what waits still goes out. The socket is closed once the peer has ended too.
    void end() {
        if (closing_ || shutdown_)
            return;
        shutdown_ = true;
        request_.data = this;
        if (uv_shutdown(&request_, stream(), onShutdown) != 0)
            close();
    }

  private:
    struct Write {
        uv_write_t request;
        Socket *socket;
        std::vector<uint8_t> bytes;
    };

    static void onAllocate(uv_handle_t *, size_t, uv_buf_t *buffer) {
        // One for all: it is copied before the loop reads again.
        static char shared[64 * 1024];
        *buffer = uv_buf_init(shared, sizeof shared);
    }

    static void onRead(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
        auto *self = static_cast<Socket *>(static_cast<Handle *>(stream->data));
        if (size == 0)
            return;
        Napi::HandleScope scope(self->env_);
        if (size > 0) {
            const auto *bytes = reinterpret_cast<const uint8_t *>(buffer->base);
            self->call(self->data_,
                       {Napi::Buffer<uint8_t>::Copy(self->env_, bytes, static_cast<size_t>(size))});
            return;
        }
        self->ended_ = true;
        uv_read_stop(stream);
        if (size != UV_EOF) {
            self->close();
            return;
        }
        self->call(self->end_, {});
        // As the peer asks no more, there is nothing to keep open for but what waits to go out.
        self->end();
        if (self->flushed_)
            self->close();
    }

    static void onWritten(uv_write_t *request, int status) {
        const std::unique_ptr<Write> written(static_cast<Write *>(request->data));
        Socket *self = written->socket;
        self->pending_ -= written->bytes.size();
        if (status != 0) {
            self->close();
            return;
        }
        if (self->pending_ > 0 || self->closing_)
            return;
        Napi::HandleScope scope(self->env_);
        self->call(self->drain_, {});
    }

    static void onShutdown(uv_shutdown_t *request, int) {
        auto *self = static_cast<Socket *>(request->data);
        self->flushed_ = true;
        if (self->ended_)
            self->close();
    }

    // What JavaScript gave us refers to what we gave to it: let go, or neither is ever freed.
    void closed() override {
        call(closed_, {});
        for (Napi::FunctionReference *callback : {&data_, &end_, &drain_, &closed_})
            callback->Reset();
    }

    Napi::FunctionReference data_, end_, drain_, closed_;
    uv_shutdown_t request_{};
    size_t pending_ = 0;
    bool ended_ = false, shutdown_ = false, flushed_ = false;
};

// {fd, open(events), write(bytes) -> waiting, end(), destroy(), pause(), resume()}
Napi::Object Socket::wrap() {
    Napi::Object object = Napi::Object::New(env_);
    auto self = std::static_pointer_cast<Socket>(shared_from_this());
    const auto method = [&](const char *name, auto body) {
        object.Set(name, Napi::Function::New(
                             env_, [self, body](const Napi::CallbackInfo &info) { return body(*self, info); },
                             name));
    };
    object.Set("fd", Napi::Number::New(env_, descriptor()));
    method("open",
           [](Socket &socket, const Napi::CallbackInfo &info) { socket.open(info[0].As<Napi::Object>()); });
    method("write", [](Socket &socket, const Napi::CallbackInfo &info) -> Napi::Value {
        const auto bytes = info[0].As<Napi::Uint8Array>();
        return Napi::Number::New(info.Env(),
                                 static_cast<double>(socket.write(bytes.Data(), bytes.ByteLength())));
    });
    method("end", [](Socket &socket, const Napi::CallbackInfo &) { socket.end(); });
    method("destroy", [](Socket &socket, const Napi::CallbackInfo &) { socket.close(); });
    method("pause", [](Socket &socket, const Napi::CallbackInfo &) { socket.pause(); });
    method("resume", [](Socket &socket, const Napi::CallbackInfo &) { socket.resume(); });
    return object;
}

class Listener : public Handle {
  public:
    Listener(Napi::Env env, Napi::Function connection, Napi::Function closed)
        : Handle(env), connection_(Napi::Persistent(connection)), closed_(Napi::Persistent(closed)) {}

    int listenAt(const std::string &path) {
        if (const int code = uv_pipe_bind(&pipe_, path.c_str()); code != 0)
            return code;
        return listen();
    }

    // On a socket that was made by another; its path is removed at the end, too.
    int inherit(int fd) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (const int code = uv_pipe_open(&pipe_, fd); code != 0)
            return code;
        char path[sizeof(sockaddr_un::sun_path) + 1];
        size_t size = sizeof path;
        if (const int code = uv_pipe_getsockname(&pipe_, path, &size); code != 0)
            return code;
        inherited_.assign(path, size);
        return listen();
    }

    void stop() {
        if (!inherited_.empty())
            unlink(inherited_.c_str());
        inherited_.clear();
        close();
    }

  private:
    int listen() { return uv_listen(reinterpret_cast<uv_stream_t *>(&pipe_), 511, onConnection); }

    static void onConnection(uv_stream_t *server, int status) {
        auto *self = static_cast<Listener *>(static_cast<Handle *>(server->data));
        Napi::HandleScope scope(self->env_);
        auto socket = std::make_shared<Socket>(self->env_);
        socket->keep();
        // Running out of descriptors fails this connection, not the server.
        if (status == 0)
            status = uv_accept(server, socket->stream());
        if (status != 0) {
            Napi::Object none = Napi::Object::New(self->env_);
            const Napi::Function nothing = Napi::Function::New(self->env_, [](const Napi::CallbackInfo &) {});
            for (const char *name : {"data", "end", "drain", "closed"})
                none.Set(name, nothing);
            socket->open(none);
            socket->close();
            self->call(self->connection_, {systemError(self->env_, -status, "accept").Value()});
            return;
        }
        self->call(self->connection_, {self->env_.Null(), socket->wrap()});
    }

    void closed() override {
        call(closed_, {});
        connection_.Reset();
        closed_.Reset();
    }

    Napi::FunctionReference connection_, closed_;
    std::string inherited_;
};

// (path or descriptor, connection(error, socket), closed()) -> close(), which removes the path
Napi::Value listenSocket(const Napi::CallbackInfo &info) {
    auto listener =
        std::make_shared<Listener>(info.Env(), info[1].As<Napi::Function>(), info[2].As<Napi::Function>());
    listener->keep();
    const bool inherits = info[0].IsNumber();
    const int code = inherits ? listener->inherit(intArg(info, 0)) : listener->listenAt(stringArg(info, 0));
    if (code != 0) {
        listener->close();
        throw systemError(info.Env(), -code, "listen", inherits ? "" : stringArg(info, 0));
    }
    return Napi::Function::New(info.Env(), [listener](const Napi::CallbackInfo &) { listener->stop(); });
}

struct Connect {
    uv_connect_t request;
    std::shared_ptr<Socket> socket;
    Napi::FunctionReference done;
    std::string path;
};

void onConnected(uv_connect_t *request, int status) {
    const std::unique_ptr<Connect> connect(static_cast<Connect *>(request->data));
    const Napi::Env env = connect->done.Env();
    Napi::HandleScope scope(env);
    const napi_value error =
        status == 0 ? env.Null() : systemError(env, -status, "connect", connect->path).Value();
    try {
        connect->done.Call({error});
    } catch (const Napi::Error &thrown) {
        napi_fatal_exception(env, thrown.Value());
    }
}

// (path, connected(error)) -> socket, to be opened at once
Napi::Value connectSocket(const Napi::CallbackInfo &info) {
    auto connect = std::make_unique<Connect>();
    connect->socket = std::make_shared<Socket>(info.Env());
    connect->socket->keep();
    connect->done = Napi::Persistent(info[1].As<Napi::Function>());
    connect->path = stringArg(info, 0);
    connect->request.data = connect.get();
    Napi::Object socket = connect->socket->wrap();
    uv_pipe_connect(&connect->request, reinterpret_cast<uv_pipe_t *>(connect->socket->stream()),
                    connect->path.c_str(), onConnected);
    connect.release();
    return socket;
}

} // namespace

void initSocket(Napi::Env env, Napi::Object exports) {
    exports.Set("listenSocket", Napi::Function::New(env, listenSocket));
    exports.Set("connectSocket", Napi::Function::New(env, connectSocket));
}

} // namespace pclive
