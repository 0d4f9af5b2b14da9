// Descriptors and sockets: pipes, events, credentials, descriptors received over a socket, terminals' size,
// clock.
#include "common.h"
#include <cstdint>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace pclive {
namespace {

Napi::Value makePipe(const Napi::CallbackInfo &info) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw systemError(info.Env(), errno, "pipe2");
    Napi::Array result = Napi::Array::New(info.Env(), 2);
    result.Set(0u, ends[0]);
    result.Set(1u, ends[1]);
    return result;
}

Napi::Value makeEventFd(const Napi::CallbackInfo &info) {
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        throw systemError(info.Env(), errno, "eventfd");
    return Napi::Number::New(info.Env(), fd);
}

// (fd) -> count since the last read; 0 when there was no event
Napi::Value readEventFd(const Napi::CallbackInfo &info) {
    uint64_t count = 0;
    const ssize_t got = read(intArg(info, 0), &count, sizeof count);
    if (got < 0 && errno != EAGAIN)
        throw systemError(info.Env(), errno, "read");
    return Napi::Number::New(info.Env(), got == sizeof count ? static_cast<double>(count) : 0);
}

Napi::Value getPeerCred(const Napi::CallbackInfo &info) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(intArg(info, 0), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        throw systemError(info.Env(), errno, "getsockopt");
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("pid", static_cast<double>(peer.pid));
    result.Set("uid", static_cast<double>(peer.uid));
    result.Set("gid", static_cast<double>(peer.gid));
    return result;
}

// Takes the descriptors out of a message; the first is returned, the others are closed.
int firstDescriptor(msghdr &message) {
    int first = -1;
    for (cmsghdr *part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (first < 0)
                first = fd;
            else
                close(fd);
        }
    }
    return first;
}

// (socket) -> descriptor; null when nothing has arrived yet. Never waits.
Napi::Value tryReceiveFd(const Napi::CallbackInfo &info) {
    char text[4096];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)];
    iovec part{text, sizeof text};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(intArg(info, 0), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return info.Env().Null();
    if (got < 0)
        throw systemError(info.Env(), errno, "recvmsg");
    const int fd = firstDescriptor(message);
    if (fd < 0)
        throw systemError(info.Env(), got == 0 ? ECONNRESET : EPROTO, "recvmsg",
                          "no descriptor in the message");
    return Napi::Number::New(info.Env(), fd);
}

Napi::Value setWinsize(const Napi::CallbackInfo &info) {
    winsize size{};
    size.ws_col = static_cast<unsigned short>(intArg(info, 1));
    size.ws_row = static_cast<unsigned short>(intArg(info, 2));
    if (ioctl(intArg(info, 0), TIOCSWINSZ, &size) != 0)
        throw systemError(info.Env(), errno, "ioctl", "TIOCSWINSZ");
    return info.Env().Undefined();
}

Napi::Value realtimeNs(const Napi::CallbackInfo &info) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return Napi::BigInt::New(info.Env(), static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec);
}

} // namespace

void initDescriptors(Napi::Env env, Napi::Object exports) {
    exports.Set("pipe", Napi::Function::New(env, makePipe));
    exports.Set("eventFd", Napi::Function::New(env, makeEventFd));
    exports.Set("readEventFd", Napi::Function::New(env, readEventFd));
    exports.Set("getPeerCred", Napi::Function::New(env, getPeerCred));
    exports.Set("tryReceiveFd", Napi::Function::New(env, tryReceiveFd));
    exports.Set("setWinsize", Napi::Function::New(env, setWinsize));
    exports.Set("realtimeNs", Napi::Function::New(env, realtimeNs));
}

} // namespace pclive
