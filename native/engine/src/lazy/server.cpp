// SPDX-License-Identifier: Apache-2.0
#include "lazy/server.hpp"

#include "wire/frames.hpp"
#include <cerrno>
#include <chrono>
#include <poll.h>
#include <sys/eventfd.h>

namespace pclive::lazy {
namespace {

/// Of a fault: what lies beside a wanted page is often wanted next. And in the background: short enough that
/// a fault does not wait long for it.
constexpr uint64_t kBlockBytes = 64u << 10;
constexpr int kRetryMs = 1;
/// Until a message has been read, and the process that waited for that has run on.
constexpr std::chrono::microseconds kBusyTime{100};

std::unique_ptr<restore::MappedChunk> mapWhole(const restore::PagesFile &file) {
    return file.size ? std::make_unique<restore::MappedChunk>(file, 0, file.size) : nullptr;
}

} // namespace

Server::Server(const std::vector<restore::PagesFile> &files, Fd userfaultfd)
    : wake_(eventfd(0, EFD_CLOEXEC)) {
    if (!wake_)
        throw systemError("internal", "eventfd", errno);
    for (const auto &file : files)
        files_.push_back(mapWhole(file));
    enable(userfaultfd.get());
    spaces_.emplace_back(std::move(userfaultfd));
}

Server::~Server() {
    stop_ = true;
    eventfd_write(wake_.get(), 1);
    if (thread_.joinable())
        thread_.join();
}

void Server::watch(uint64_t start, uint64_t end) {
    spaces_.front().watch(start, end);
}

void Server::add(const Part &part) {
    spaces_.front().todo.add(part);
}

void Server::start() {
    thread_ = std::thread([this] { run(); });
}

// The thread that answers the kernel ---------------------------------------------

void Server::run() noexcept {
    try {
        while (!stop_)
            serve();
    } catch (const Error &error) {
        std::lock_guard lock(mutex_);
        failure_ = error;
    } catch (const std::exception &error) {
        std::lock_guard lock(mutex_);
        failure_ = Error("internal", error.what());
    }
}

void Server::serve() {
    bool again;
    {
        std::lock_guard lock(mutex_);
        again = !unanswered_.empty();
    }
    auto ready = wait(again);
    urgent_ = true;
    {
        std::lock_guard lock(mutex_);
        for (Space *space : ready)
            read(*space);
        retry();
    }
    urgent_ = false;
}

/// Those with messages. Only this thread adds spaces, so it may look at them without the lock.
std::vector<Space *> Server::wait(bool soon) {
    std::vector<pollfd> entries{{wake_.get(), POLLIN, 0}};
    for (const auto &space : spaces_)
        entries.push_back({space.fd(), POLLIN, 0});
    std::vector<Space *> ready;
    if (poll(entries.data(), entries.size(), soon ? kRetryMs : -1) < 0) {
        if (errno != EINTR)
            throw systemError("internal", "poll", errno);
        return ready;
    }
    auto entry = entries.begin() + 1;
    for (auto &space : spaces_)
        if (entry++->revents & POLLIN)
            ready.push_back(&space);
    return ready;
}

void Server::read(Space &space) {
    uffd_msg message;
    while (space.receive(message))
        handle(space, message);
}

void Server::handle(Space &space, const uffd_msg &message) {
    const auto &arg = message.arg;
    switch (message.event) {
    case UFFD_EVENT_PAGEFAULT:
        unanswered_.push_back({&space, arg.pagefault.address & ~(wire::kPageSize - 1)});
        break;
    case UFFD_EVENT_FORK:
        spaces_.emplace_back(Fd(static_cast<int>(arg.fork.ufd)), space);
        break;
    case UFFD_EVENT_REMAP:
        space.todo.move(arg.remap.from, arg.remap.to, arg.remap.len);
        break;
    case UFFD_EVENT_REMOVE:
    case UFFD_EVENT_UNMAP:
        space.todo.erase(arg.remove.start, arg.remove.end);
        break;
    default:
        throw Error("internal", "the kernel sent an unknown message");
    }
}

/// Answers faults, those too that met a process in the middle of a change.
void Server::retry() {
    std::vector<Fault> left;
    for (const auto &fault : unanswered_) {
        Filled filled = answer(*fault.space, fault.page);
        if (filled == Filled::busy)
            left.push_back(fault);
        if (filled == Filled::gone)
            fault.space->todo = {};
    }
    unanswered_ = std::move(left);
}

Filled Server::answer(Space &space, uint64_t page) {
    auto part = space.todo.around(page, kBlockBytes);
    if (!part)
        return space.zero(page);
    Filled filled = place(space, *part);
    if (filled == Filled::done)
        space.wake(page); // it may have been there already
    return filled;
}

Filled Server::place(Space &space, const Part &part) {
    uint64_t size = part.end - part.start;
    Filled filled = space.fill(part, files_.at(part.file)->need(part.offset, size));
    if (filled == Filled::done)
        bytes_ += size;
    return filled;
}

// In the background ---------------------------------------------------------------

uint64_t Server::fill() {
    for (auto filled = fillOne(); filled; filled = fillOne()) {
        if (*filled == Filled::busy)
            std::this_thread::sleep_for(kBusyTime);
        while (urgent_)
            std::this_thread::yield();
    }
    stop_ = true;
    eventfd_write(wake_.get(), 1);
    thread_.join();
    if (failure_)
        throw *failure_;
    spaces_.clear(); // whoever waits still is woken, and finds what nobody has: an empty page
    return bytes_;
}

/// Nothing when nothing is left to do.
std::optional<Filled> Server::fillOne() {
    std::lock_guard lock(mutex_);
    if (failure_)
        throw *failure_;
    for (auto &space : spaces_) {
        auto part = space.todo.first(kBlockBytes);
        if (!part)
            continue;
        Filled filled = place(space, *part);
        if (filled == Filled::gone)
            space.todo = {};
        return filled;
    }
    return std::nullopt;
}

} // namespace pclive::lazy
