#include "mover.h"
#include <array>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>

namespace pclive {
namespace {

constexpr size_t kScratchBytes = 32 * 1024;
constexpr size_t kEvents = 64;
// Marks the wake-up among the streams' ids.
constexpr Mover::Id kWakeup = 0;

} // namespace

Mover::~Mover() {
    if (!thread_.joinable())
        return;
    {
        const std::lock_guard lock(mutex_);
        leaving_ = true;
    }
    wake();
    thread_.join();
}

int Mover::start() {
    if (thread_.joinable())
        return 0;
    epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
    wakeup_ = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kWakeup}};
    if (epoll_.get() < 0 || wakeup_.get() < 0 ||
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wakeup_.get(), &event) != 0)
        return errno;
    try {
        thread_ = std::thread([this] { run(); });
    } catch (const std::system_error &error) {
        return error.code().value();
    }
    return 0;
}

void Mover::add(Id id, std::unique_ptr<Stream> stream) {
    {
        const std::lock_guard lock(mutex_);
        added_.emplace(id, std::move(stream));
    }
    wake();
}

void Mover::stop(Id id) {
    {
        const std::lock_guard lock(mutex_);
        stopped_.insert(id);
    }
    wake();
}

void Mover::wake() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wakeup_.get(), &one, sizeof one);
}

void Mover::run() {
    scratch_.resize(kScratchBytes);
    while (takeOrders()) {
        const std::set<Id> turn = std::exchange(ready_, {});
        for (const Id id : turn) {
            if (const auto job = jobs_.find(id); job != jobs_.end())
                advance(id, job->second);
        }
        await();
    }
}

// False when it is time to go.
bool Mover::takeOrders() {
    std::map<Id, std::unique_ptr<Stream>> added;
    std::set<Id> stopped;
    {
        const std::lock_guard lock(mutex_);
        if (leaving_)
            return false;
        added.swap(added_);
        stopped.swap(stopped_);
    }
    for (auto &[id, stream] : added) {
        jobs_.emplace(id, Job{.stream = std::move(stream)});
        ready_.insert(id);
    }
    for (const Id id : stopped)
        end(id);
    return true;
}

void Mover::advance(Id id, Job &job) {
    switch (job.stream->advance(scratch_)) {
    case Wait::Nothing:
        ready_.insert(id);
        return;
    case Wait::Input:
        return watch(id, job.stream->input(), job.inputKnown, EPOLLIN);
    case Wait::Output:
        return watch(id, job.stream->output(), job.outputKnown, EPOLLOUT);
    case Wait::Ended:
        return end(id);
    }
}

// Once: the end that a stream does not wait for stays silent, even when its other side has gone.
void Mover::watch(Id id, int fd, bool &known, uint32_t events) {
    epoll_event event{.events = events | EPOLLONESHOT, .data = {.u64 = id}};
    if (epoll_ctl(epoll_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0)
        known = true;
    else
        // Out of kernel memory: no event would ever come, and who waits for the end must learn of it.
        end(id);
}

void Mover::await() {
    std::array<epoll_event, kEvents> events;
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), ready_.empty() ? -1 : 0);
    for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 != kWakeup) {
            ready_.insert(events[i].data.u64);
            continue;
        }
        uint64_t wakeups = 0;
        [[maybe_unused]] const ssize_t got = read(wakeup_.get(), &wakeups, sizeof wakeups);
    }
}

void Mover::end(Id id) {
    const auto found = jobs_.find(id);
    if (found == jobs_.end())
        return;
    Job job = std::move(found->second);
    jobs_.erase(found);
    // Others may hold the same open file: closing alone would leave it watched.
    if (job.inputKnown)
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, job.stream->input(), nullptr);
    if (job.outputKnown)
        epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, job.stream->output(), nullptr);
    ready_.erase(id);
    const uint64_t bytes = job.stream->bytes();
    const int error = job.stream->error();
    // At once: others wait for the end of these streams.
    job.stream.reset();
    ended_(id, bytes, error);
}

} // namespace pclive
