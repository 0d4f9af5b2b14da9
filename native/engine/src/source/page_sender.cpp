// SPDX-License-Identifier: Apache-2.0
#include "source/page_sender.hpp"
#include "control/priority.hpp"
#include "source/timing.hpp"
#include "wire/send.hpp"

namespace pclive {
namespace {

constexpr size_t kBatches = 8;          // 8 MiB between reading and sending, and
constexpr size_t kBatchesPerStream = 2; // more for each further stream

} // namespace

PageSender::PageSender(wire::Streams &streams, const Pace &pace)
    : limit_(pace.bandwidth), headroom_(pace.headroom), cpu_(pace.cpu) {
    for (size_t i = 0; i < kBatches + kBatchesPerStream * streams.pages.size(); i++)
        free_.push_back(std::make_unique<PageBatch>());
    if (streams.pages.empty())
        threads_.emplace_back([this, &streams, pace] { run(*streams.main, pace.nice); });
    for (auto &channel : streams.pages)
        threads_.emplace_back([this, &channel, pace] { run(*channel, pace.nice); });
}

PageSender::~PageSender() {
    {
        std::lock_guard lock(mutex_);
        closed_ = true;
        queue_.clear();
    }
    limit_.stop();
    headroom_.lift();
    changed_.notify_all();
    for (auto &thread : threads_)
        thread.join();
}

std::unique_ptr<PageBatch> PageSender::take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || !free_.empty(); });
    if (failure_)
        std::rethrow_exception(failure_);
    auto batch = std::move(free_.back());
    free_.pop_back();
    batch->runs.clear();
    batch->data.clear();
    batch->pages = 0;
    return batch;
}

void PageSender::put(std::unique_ptr<PageBatch> batch) {
    std::lock_guard lock(mutex_);
    if (failure_)
        std::rethrow_exception(failure_);
    if (batch->runs.empty()) {
        free_.push_back(std::move(batch));
        return;
    }
    queue_.push_back(std::move(batch));
    underWay_++;
    changed_.notify_all();
}

void PageSender::drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return failure_ || underWay_ == 0; });
    if (failure_)
        std::rethrow_exception(failure_);
}

void PageSender::run(wire::Channel &channel, int nice) noexcept {
    Niceness niceness(nice);
    std::unique_lock lock(mutex_);
    for (;;) {
        changed_.wait(lock, [this] { return closed_ || !queue_.empty(); });
        if (closed_)
            return;
        auto batch = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        std::exception_ptr failure;
        try {
            send(channel, *batch);
        } catch (...) {
            failure = std::current_exception();
        }
        lock.lock();
        free_.push_back(std::move(batch));
        underWay_--;
        if (failure && !failure_)
            failure_ = failure;
        changed_.notify_all();
    }
}

void PageSender::send(wire::Channel &channel, const PageBatch &batch) {
    if (cpu_)
        cpu_->pace();
    limit_.take(batch.pages * wire::kPageSize);
    headroom_.take(batch.pages * wire::kPageSize);
    Stopwatch watch;
    wire::sendPages(channel, batch.vpid, batch.runs, batch.data, batch.position);
    pages_ += batch.pages;
    sendMs_ += watch.ms();
}

} // namespace pclive
