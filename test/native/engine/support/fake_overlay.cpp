// SPDX-License-Identifier: Apache-2.0
#include "support/fake_overlay.hpp"

#include "protocol_io.h"
#include "testing.hpp"
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

namespace pclive::testing {
namespace {

// The child: no allocation beyond malloc, no threads; every failure ends it.

void must(bool good) {
    if (!good)
        _exit(1);
}

int connectTo(const char *path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    for (int tries = 0; tries < 1000; tries++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0)
            return fd;
        close(fd);
        usleep(10000);
    }
    _exit(1);
}

uint64_t makeWindow(const pclo_range &range) {
    size_t size = range.len + PCLO_CONGRUENCE;
    void *room = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(room != MAP_FAILED);
    auto base = reinterpret_cast<uint64_t>(room);
    base += (range.start - base) % PCLO_CONGRUENCE;
    void *window = mmap(reinterpret_cast<void *>(base), range.len, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    must(window != MAP_FAILED);
    *static_cast<volatile char *>(window) = 0;
    return base;
}

void sendMark(int fd, const char *name, double ms) {
    pclo_mark mark{};
    strncpy(mark.name, name, sizeof mark.name - 1);
    mark.realtime_ns = 1234567890123456789u;
    mark.ms = ms;
    must(pclo_send(fd, PCLO_MARK, 0, &mark, sizeof mark) == 0);
}

void serve(int fd, int in, int out) {
    for (;;) {
        pclo_header header;
        must(pclo_recv_header(fd, &header) == 0);
        auto *payload = static_cast<uint8_t *>(malloc(header.length + 1));
        must(pclo_read_full(fd, payload, header.length) == 0);
        if (header.type == PCLO_WINDOW) {
            pclo_window_at at{makeWindow(*reinterpret_cast<pclo_range *>(payload))};
            must(pclo_send(fd, PCLO_WINDOW_AT, 0, &at, sizeof at) == 0);
        } else if (header.type == PCLO_DROP) {
            auto *ranges = reinterpret_cast<pclo_range *>(payload);
            for (size_t i = 0; i < header.length / sizeof *ranges; i++)
                must(madvise(reinterpret_cast<void *>(ranges[i].start), ranges[i].len, MADV_DONTNEED) == 0);
            must(pclo_send(fd, PCLO_OK, 0, nullptr, 0) == 0);
        } else if (header.type == PCLO_ADVISE) {
            auto *advice = reinterpret_cast<pclo_advise *>(payload);
            for (size_t i = 0; i < header.length / sizeof *advice; i++)
                must(advice[i].how == PCLO_ADVISE_HUGE &&
                     madvise(reinterpret_cast<void *>(advice[i].start), advice[i].len, MADV_HUGEPAGE) == 0);
            must(pclo_send(fd, PCLO_OK, 0, nullptr, 0) == 0);
        } else if (header.type == PCLO_GO) {
            uint32_t length = header.length;
            must(write(out, &length, sizeof length) == sizeof length);
            must(write(out, payload, length) == static_cast<ssize_t>(length));
            char wake;
            sendMark(fd, "go", 0);
            must(read(in, &wake, 1) == 1);
            sendMark(fd, "mappings-end", 12.5);
            must(pclo_send(fd, PCLO_HELD, 0, nullptr, 0) == 0);
        } else if (header.type == PCLO_RELEASE) {
            must(pclo_send(fd, PCLO_RELEASED, 0, nullptr, 0) == 0);
        } else {
            _exit(header.type == PCLO_ABORT ? 2 : 1);
        }
        free(payload);
    }
}

} // namespace

FakeOverlay::FakeOverlay(const std::string &socketPath) {
    int in[2], out[2];
    CHECK(pipe(in) == 0 && pipe(out) == 0);
    pid_ = fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(in[1]);
        close(out[0]);
        int fd = connectTo(socketPath.c_str());
        pclo_hello hello{PCLO_ROLE_RESTORE, static_cast<uint32_t>(getpid()), "4.2.1"};
        must(pclo_send(fd, PCLO_HELLO, 0, &hello, sizeof hello) == 0);
        serve(fd, in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    toChild_ = Fd(in[1]);
    fromChild_ = Fd(out[0]);
}

void FakeOverlay::kill() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    pid_ = 0;
}

FakeOverlay::~FakeOverlay() {
    kill();
}

std::vector<pclo_area> FakeOverlay::waitGo() {
    pollfd entry{fromChild_.get(), POLLIN, 0};
    CHECK(poll(&entry, 1, 20000) == 1);
    uint32_t length = 0;
    CHECK(::read(fromChild_.get(), &length, sizeof length) == sizeof length);
    std::vector<pclo_area> areas(length / sizeof(pclo_area));
    auto *at = reinterpret_cast<char *>(areas.data());
    for (size_t done = 0; done < length;) {
        ssize_t got = ::read(fromChild_.get(), at + done, length - done);
        CHECK(got > 0);
        done += static_cast<size_t>(got);
    }
    return areas;
}

void FakeOverlay::hold() {
    CHECK(write(toChild_.get(), "h", 1) == 1);
}

void FakeOverlay::read(void *local, uint64_t remote, size_t size) const {
    iovec here{local, size}, there{reinterpret_cast<void *>(remote), size};
    CHECK(process_vm_readv(pid_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(size));
}

uint64_t FakeOverlay::hugeKb() const {
    std::ifstream rollup("/proc/" + std::to_string(pid_) + "/smaps_rollup");
    for (std::string line; std::getline(rollup, line);)
        if (line.rfind("AnonHugePages:", 0) == 0)
            return std::strtoull(line.c_str() + 14, nullptr, 10);
    return 0;
}

} // namespace pclive::testing
