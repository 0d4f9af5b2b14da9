// SPDX-License-Identifier: Apache-2.0
#include "dest/overlay.hpp"

#include "proc/pidfd.hpp"
#include "protocol_io.h"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace pclive::dest {
namespace {

constexpr std::chrono::seconds kCommandTime{10};
constexpr int kHelloTimeMs = 5000;

Fd listenUnix(const std::string &path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        throw Error("listen", "the overlay's socket path is empty or longer than 107 bytes: " + path);
    path.copy(address.sun_path, path.size());
    struct stat status {};
    if (lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode))
        unlink(path.c_str());
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd || bind(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) ||
        chmod(path.c_str(), 0600) || listen(fd.get(), 4))
        throw systemError("listen", "cannot listen on " + path, errno);
    return fd;
}

Error gone() {
    return Error("overlay-lost", "CRIU went away before the restore was done",
                 "the log of the restore in the migration's work directory tells why");
}

std::string text(const std::vector<uint8_t> &payload) {
    std::string result(payload.begin(), payload.begin() + std::min<ptrdiff_t>(std::ssize(payload), 2048));
    for (auto &letter : result)
        if (static_cast<unsigned char>(letter) < 32 || letter == 127)
            letter = ' ';
    return result;
}

std::vector<int> pidsIn(const std::vector<uint8_t> &payload) {
    std::vector<int> pids(payload.size() / sizeof(int));
    if (payload.size() % sizeof(int))
        throw Error("overlay", "the overlay sent malformed pids");
    if (!pids.empty())
        memcpy(pids.data(), payload.data(), payload.size());
    if (std::any_of(pids.begin(), pids.end(), [](int pid) { return pid <= 0; }))
        throw Error("overlay", "the overlay sent a pid that cannot be");
    return pids;
}

/// Reads HELLO from a new connection; the pid of the process that made it, or 0 when it is not the overlay in
/// a restore.
int greet(int fd) {
    timeval time{kHelloTimeMs / 1000, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    ucred peer{};
    socklen_t length = sizeof peer;
    pclo_header header;
    pclo_hello hello;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) || peer.pid <= 0 ||
        (peer.uid != geteuid() && peer.uid != 0))
        return 0;
    if (pclo_recv_header(fd, &header) || header.type != PCLO_HELLO || header.length != sizeof hello ||
        pclo_read_full(fd, &hello, sizeof hello) || hello.role != PCLO_ROLE_RESTORE)
        return 0;
    time = {0, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    time = {kCommandTime.count(), 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    return peer.pid;
}

} // namespace

Overlay::Overlay(const std::string &path, OverlayEvents events)
    : events_(std::move(events)), path_(path), listener_(listenUnix(path)), wake_(eventfd(0, EFD_CLOEXEC)) {
    if (!wake_)
        throw systemError("listen", "eventfd", errno);
    thread_ = std::thread([this] { run(); });
}

Overlay::~Overlay() {
    abort();
    {
        std::lock_guard lock(mutex_);
        if (connection_)
            shutdown(connection_.get(), SHUT_RDWR); // after the release too, to end the thread
    }
    thread_.join();
    unlink(path_.c_str());
}

// The thread -----------------------------------------------------------------

void Overlay::run() noexcept {
    try {
        while (!acceptOne()) {
        }
        listener_.reset();
        if (events_.connected)
            events_.connected(pid_);
        readLoop();
    } catch (const Error &error) {
        lose(error);
    } catch (const std::exception &error) {
        lose(Error("internal", error.what()));
    }
}

bool Overlay::acceptOne() {
    pollfd entries[2] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (poll(entries, 2, -1) < 0 && errno != EINTR)
        throw systemError("internal", "poll", errno);
    if (entries[1].revents)
        throw Error("aborted", "aborted while waiting for CRIU");
    if (!entries[0].revents)
        return false;
    Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd)
        return false;
    int pid = greet(fd.get());
    if (!pid) {
        std::fprintf(stderr, "refused a connection to the overlay's socket\n");
        return false;
    }
    std::lock_guard lock(mutex_);
    if (failure_)
        throw *failure_;
    connection_ = std::move(fd);
    pid_ = pid;
    state_ = State::staging;
    changed_.notify_all();
    return true;
}

void Overlay::readLoop() {
    for (;;) {
        pclo_header header;
        int result = pclo_recv_header(connection_.get(), &header);
        if (result == -EPROTO)
            throw Error("overlay", "the overlay sent something that is no message");
        if (result)
            break;
        std::vector<uint8_t> payload(header.length);
        if (pclo_read_full(connection_.get(), payload.data(), payload.size()))
            break;
        dispatch(header, std::move(payload));
    }
    {
        std::lock_guard lock(mutex_);
        if (state_ == State::released)
            return;
    }
    throw gone();
}

void Overlay::moveTo(State from, State to) {
    std::lock_guard lock(mutex_);
    if (state_ != from)
        throw Error("overlay", "the overlay sent a message at the wrong time");
    state_ = to;
    changed_.notify_all();
}

void Overlay::dispatch(const pclo_header &header, std::vector<uint8_t> payload) {
    switch (header.type) {
    case PCLO_MARK: {
        pclo_mark mark;
        if (payload.size() != sizeof mark)
            throw Error("overlay", "the overlay sent a malformed mark");
        memcpy(&mark, payload.data(), sizeof mark);
        events_.mark({std::string(mark.name, strnlen(mark.name, sizeof mark.name)), mark.realtime_ns,
                      std::isfinite(mark.ms) ? mark.ms : 0});
        return;
    }
    case PCLO_HELD:
        moveTo(State::going, State::held);
        return events_.held(pidsIn(payload));
    case PCLO_RELEASED:
        moveTo(State::releasing, State::released);
        return events_.released();
    case PCLO_ERROR: {
        std::unique_lock lock(mutex_);
        if (state_ != State::staging)
            throw Error("overlay", "the restore failed: " + text(payload));
        [[fallthrough]];
    }
    case PCLO_WINDOW_AT:
    case PCLO_LAZY_AT:
    case PCLO_OK: {
        std::lock_guard lock(mutex_);
        answer_ = Answer{header.type, header.arg, std::move(payload)};
        changed_.notify_all();
        return;
    }
    default:
        throw Error("overlay", "the overlay sent an unexpected message");
    }
}

void Overlay::lose(const Error &error) noexcept {
    bool first;
    {
        std::lock_guard lock(mutex_);
        first = state_ != State::lost && !failure_;
        if (!failure_)
            failure_ = error;
        state_ = State::lost;
        if (connection_)
            shutdown(connection_.get(), SHUT_RDWR);
        changed_.notify_all();
    }
    if (first)
        events_.lost(error);
}

// Everybody else's methods -------------------------------------------------------

int Overlay::waitConnected(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, time, [this] { return pid_ || failure_; }))
        throw Error("timeout", "CRIU did not connect within " + std::to_string(time.count() / 1000) + " s",
                    "is runc using the CRIU that PCLive installed?");
    if (failure_)
        throw *failure_;
    return pid_;
}

void Overlay::refuseState(const char *what) const {
    if (failure_)
        throw *failure_;
    throw Error("invalid", std::string(what) + " is not possible now");
}

void Overlay::sendLocked(pclo_type type, const void *payload, size_t size, uint32_t arg) {
    int result = pclo_send(connection_.get(), type, arg, payload, size);
    if (result)
        throw systemError("overlay-lost", "cannot write to CRIU", -result);
}

Overlay::Answer Overlay::command(pclo_type type, const void *payload, size_t size, uint16_t expected) {
    std::lock_guard one(commandMutex_);
    std::unique_lock lock(mutex_);
    if (state_ != State::staging)
        refuseState("staging");
    answer_.reset();
    sendLocked(type, payload, size);
    if (!changed_.wait_for(lock, kCommandTime, [this] { return answer_ || failure_; }))
        throw Error("timeout", "CRIU does not answer");
    if (failure_)
        throw *failure_;
    Answer answer = std::move(*answer_);
    if (answer.type == PCLO_ERROR)
        throw Error("overlay", "CRIU cannot stage memory: " + text(answer.payload));
    if (answer.type != expected)
        throw Error("overlay", "the overlay sent a wrong answer");
    return answer;
}

uint64_t Overlay::window(Range source) {
    pclo_range range{source.start, source.end - source.start};
    Answer answer = command(PCLO_WINDOW, &range, sizeof range, PCLO_WINDOW_AT);
    pclo_window_at at;
    if (answer.payload.size() != sizeof at)
        throw Error("overlay", "the overlay sent a malformed window");
    memcpy(&at, answer.payload.data(), sizeof at);
    if (at.base % PCLO_CONGRUENCE != source.start % PCLO_CONGRUENCE)
        throw Error("overlay", "the overlay sent a window at a wrong address");
    return at.base;
}

void Overlay::drop(std::span<const pclo_range> ranges) {
    constexpr size_t kAtOnce = PCLO_MAX_PAYLOAD / sizeof(pclo_range);
    while (!ranges.empty()) {
        auto part = ranges.first(std::min(ranges.size(), kAtOnce));
        command(PCLO_DROP, part.data(), part.size_bytes(), PCLO_OK);
        ranges = ranges.subspan(part.size());
    }
}

void Overlay::advise(std::span<const pclo_advise> advice) {
    constexpr size_t kAtOnce = PCLO_MAX_PAYLOAD / sizeof(pclo_advise);
    while (!advice.empty()) {
        auto part = advice.first(std::min(advice.size(), kAtOnce));
        command(PCLO_ADVISE, part.data(), part.size_bytes(), PCLO_OK);
        advice = advice.subspan(part.size());
    }
}

Fd Overlay::userfaultfd() {
    Answer answer;
    try {
        answer = command(PCLO_LAZY, nullptr, 0, PCLO_LAZY_AT);
    } catch (const Error &error) {
        if (error.code() != "overlay")
            throw;
        throw Error("no-lazy", error.what());
    }
    pclo_lazy_at at;
    if (answer.payload.size() != sizeof at)
        throw Error("overlay", "the overlay sent a malformed userfaultfd");
    memcpy(&at, answer.payload.data(), sizeof at);
    Fd copy = copyDescriptor(pid_, at.fd);
    if (!copy)
        throw systemError("no-lazy", "cannot take over CRIU's userfaultfd", errno);
    return copy;
}

void Overlay::go(std::span<const pclo_area> areas, uint32_t flags) {
    if (areas.size_bytes() > PCLO_MAX_PAYLOAD)
        throw Error("too-large", "the container has too many memory areas");
    std::lock_guard lock(mutex_);
    if (state_ != State::staging)
        refuseState("go");
    state_ = State::going; // before CRIU can answer
    sendLocked(PCLO_GO, areas.data(), areas.size_bytes(), flags);
}

void Overlay::release(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    if (failure_ && state_ != State::released)
        throw *failure_;
    if (state_ == State::waiting || state_ == State::staging || state_ == State::going)
        throw Error("not-held", "the restore is not done yet");
    if (state_ == State::held) {
        state_ = State::releasing;
        sendLocked(PCLO_RELEASE, nullptr, 0);
    }
    if (!changed_.wait_for(lock, time, [this] { return state_ == State::released || state_ == State::lost; }))
        throw Error("timeout", "CRIU did not confirm the release",
                    "whether the container runs must be found out by looking");
    if (state_ == State::lost)
        throw *failure_;
}

void Overlay::abort() noexcept {
    eventfd_write(wake_.get(), 1);
    std::lock_guard lock(mutex_);
    if (state_ == State::released || failure_)
        return;
    failure_ = Error("aborted", "aborted");
    if (connection_) {
        pclo_send(connection_.get(), PCLO_ABORT, 0, nullptr, 0);
        shutdown(connection_.get(), SHUT_RDWR);
    }
    changed_.notify_all();
}

} // namespace pclive::dest
