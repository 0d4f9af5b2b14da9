// SPDX-License-Identifier: Apache-2.0
#include "source/dump_socket.hpp"
#include "control/error.hpp"
#include "protocol_io.h"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/un.h>

namespace pclive {
namespace {

constexpr int kHelloTimeoutMs = 10'000;
// Between two tasks CRIU may dump what is left to it; an end of it breaks the connection.
constexpr int kTaskTimeoutMs = 600'000;
constexpr int kEndPollMs = 10;
constexpr uint32_t kMaxVmas = (PCLO_MAX_PAYLOAD - sizeof(pclo_task)) / sizeof(pclo_vma);

Error protocolError(const std::string &what) {
    return Error("overlay-protocol", "CRIU's overlay " + what);
}

void check(int result, const char *what) {
    if (result)
        throw systemError("overlay-protocol", what, -result);
}

Fd listenAt(const std::string &path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        throw Error("overlay-socket", "the path of the overlay socket must have 1 to 107 bytes");
    std::copy(path.begin(), path.end(), address.sun_path);
    ::unlink(path.c_str());
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) ||
        ::listen(fd.get(), 4))
        throw systemError("overlay-socket", "listen at " + path, errno);
    return fd;
}

bool isRootOrUs(int socket) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return !::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) &&
           (peer.uid == 0 || peer.uid == ::geteuid());
}

bool isOurKind(const pclo_vma &vma) {
    constexpr uint32_t kWanted = PCLO_VMA_REGULAR | PCLO_VMA_ANON_PRIVATE;
    return (vma.status & kWanted) == kWanted;
}

} // namespace

DumpSocket::DumpSocket(const std::string &path, bool handlesPages, Events &events)
    : events_(events), handlesPages_(handlesPages), path_(path), listener_(listenAt(path)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), thread_(&DumpSocket::run, this) {}

DumpSocket::~DumpSocket() {
    stop();
    thread_.join();
    ::unlink(path_.c_str());
}

void DumpSocket::go(bool lockNetwork, bool holdEnd) {
    lockNetwork_ = lockNetwork;
    holdEnd_ = holdEnd;
    go_ = true;
    ::eventfd_write(wake_.get(), 1);
}

std::string DumpSocket::criuVersion() {
    std::lock_guard lock(mutex_);
    return criuVersion_;
}

void DumpSocket::setSnapshot(Snapshot snapshot) {
    std::lock_guard lock(mutex_);
    snapshot_ = std::move(snapshot);
}

void DumpSocket::stop() noexcept {
    stopped_ = true;
    ::eventfd_write(wake_.get(), 1);
}

void DumpSocket::run() noexcept {
    while (!stopped_) {
        if (!waitReadable(listener_.get(), -1))
            continue;
        Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!socket || !isRootOrUs(socket.get()))
            continue;
        try {
            serve(socket.get());
        } catch (const std::exception &error) {
            std::fprintf(stderr, "overlay socket: %s\n", error.what());
            auto text = std::string_view(error.what());
            pclo_send(socket.get(), PCLO_ERROR, 0, text.data(), text.size());
        }
    }
}

/// Waits for `socket` to become readable, or its peer to close; false after the time, or when stopped. go()
/// wakes it too, which waitForGo() looks for.
bool DumpSocket::waitReadable(int socket, int timeoutMs) const {
    for (;;) {
        pollfd wanted[2] = {{socket, POLLIN, 0}, {wake_.get(), POLLIN, 0}};
        nfds_t count = go_ && !stopped_ ? 1 : 2; // after go() the eventfd stays readable
        int ready = ::poll(wanted, count, timeoutMs < 0 ? 1000 : timeoutMs);
        if (stopped_ || (ready == 0 && timeoutMs >= 0))
            return false;
        if (ready > 0 && wanted[0].revents)
            return true;
        if (ready > 0 && go_ && timeoutMs < 0)
            return false;
    }
}

void DumpSocket::serve(int socket) {
    hello(socket);
    if (!waitForGo(socket))
        return;
    takeGo();
    uint32_t how = 0;
    if (lockNetwork_)
        how |= PCLO_LOCK_NETWORK;
    if (holdEnd_)
        how |= PCLO_HOLD_END;
    check(pclo_send(socket, PCLO_DUMP_GO, how, nullptr, 0), "send DUMP_GO");
    answerTasks(socket);
}

void DumpSocket::hello(int socket) {
    pclo_header header;
    pclo_hello hello;
    if (!waitReadable(socket, kHelloTimeoutMs))
        throw protocolError("did not say HELLO in time");
    check(pclo_recv_header(socket, &header), "receive HELLO");
    if (header.type != PCLO_HELLO || header.length != sizeof hello)
        throw protocolError("did not begin with HELLO");
    check(pclo_read_full(socket, &hello, sizeof hello), "receive HELLO");
    if (hello.role != PCLO_ROLE_DUMP)
        throw protocolError("is not dumping, but the source serves dumps only");
    {
        std::lock_guard lock(mutex_);
        criuVersion_.assign(hello.criu_version, ::strnlen(hello.criu_version, sizeof hello.criu_version));
    }
    events_.emit("dump-held", {{"pid", hello.pid}});
}

/// False when CRIU has gone, or we are stopped, before it may look.
bool DumpSocket::waitForGo(int socket) {
    while (!go_ && !stopped_)
        if (waitReadable(socket, -1))
            return false; // it has nothing to say before DUMP_GO, so this is the end
    return !stopped_;
}

/// The next CRIU waits again. A stop that came just now keeps its wake.
void DumpSocket::takeGo() {
    eventfd_t count;
    go_ = false;
    ::eventfd_read(wake_.get(), &count);
    if (stopped_)
        ::eventfd_write(wake_.get(), 1);
}

void DumpSocket::answerTasks(int socket) {
    pclo_header header;
    while (waitReadable(socket, kTaskTimeoutMs)) {
        int result = pclo_recv_header(socket, &header);
        if (result == -EPIPE)
            return;
        check(result, "receive a message of CRIU's overlay");
        switch (header.type) {
        case PCLO_TASK_VMAS:
            answerTask(socket, header.length);
            break;
        case PCLO_MARK:
            takeMark(socket, header.length);
            break;
        case PCLO_DUMPED:
            events_.emit("dumped");
            if (holdEnd_ && !keepUntilEnd(socket))
                return;
            break;
        case PCLO_LEFT:
            events_.emit("dump-left");
            break;
        case PCLO_ERROR:
            return; // CRIU's exit code and log tell the shim
        default:
            throw protocolError("sent what does not belong into a dump");
        }
    }
}

void DumpSocket::answerTask(int socket, uint32_t length) {
    pclo_task task;
    if (length < sizeof task)
        throw protocolError("sent a TASK_VMAS that is too short");
    check(pclo_read_full(socket, &task, sizeof task), "receive TASK_VMAS");
    if (task.count > kMaxVmas || length != sizeof task + task.count * sizeof(pclo_vma))
        throw protocolError("sent a list of mappings of the wrong size");
    std::vector<pclo_vma> vmas(task.count);
    check(pclo_read_full(socket, vmas.data(), vmas.size() * sizeof(pclo_vma)), "receive TASK_VMAS");
    auto answer = handled(task, vmas);
    check(pclo_send(socket, PCLO_HANDLED, 0, answer.data(), answer.size()), "send HANDLED");
}

void DumpSocket::takeMark(int socket, uint32_t length) {
    pclo_mark mark;
    if (length != sizeof mark)
        throw protocolError("sent a malformed mark");
    check(pclo_read_full(socket, &mark, sizeof mark), "receive MARK");
    events_.emit("mark", {{"name", std::string(mark.name, strnlen(mark.name, sizeof mark.name))},
                          {"t", std::to_string(mark.realtime_ns)},
                          {"ms", std::isfinite(mark.ms) ? mark.ms : 0}});
}

/// False when CRIU has gone, or we are stopped, before it may end.
bool DumpSocket::keepUntilEnd(int socket) {
    while (!ended_ && !stopped_)
        if (waitReadable(socket, kEndPollMs))
            return false; // it has nothing to say before DUMP_END
    if (stopped_)
        return false;
    check(pclo_send(socket, PCLO_DUMP_END, 0, nullptr, 0), "send DUMP_END");
    return true;
}

/// A mapping is ours if it is exactly one of the final layout: then all its present pages go to the peer.
std::vector<uint8_t> DumpSocket::handled(const pclo_task &task, const std::vector<pclo_vma> &vmas) {
    std::vector<uint8_t> answer(vmas.size(), 0);
    if (!handlesPages_)
        return answer;
    std::lock_guard lock(mutex_);
    if (!snapshot_)
        throw Error("overlay-order", "CRIU looks at the container before the final layout was recorded",
                    "send dump-go after the event snapshotted");
    auto areas = snapshot_->find(static_cast<pid_t>(task.real_pid));
    if (areas == snapshot_->end())
        return answer;
    for (size_t i = 0; i < vmas.size(); i++) {
        auto at = std::lower_bound(areas->second.begin(), areas->second.end(), vmas[i].start,
                                   [](const Range &area, uint64_t start) { return area.start < start; });
        answer[i] = at != areas->second.end() && at->start == vmas[i].start && at->end == vmas[i].end &&
                    isOurKind(vmas[i]);
    }
    return answer;
}

} // namespace pclive
