// SPDX-License-Identifier: Apache-2.0
#include "source/headroom.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

namespace pclive {
namespace {

using namespace std::chrono_literals;

/// The kernel counts in ticks of 1 to 10 ms.
constexpr auto kLookEvery = 100ms;
/// How much the newest look counts.
constexpr double kNewest = 0.5;
constexpr double kLeast = 0.5; ///< of the fastest
/// Above what is sent in fact the limit means nothing, and would take long to come down again.
constexpr double kMost = 1.5;
/// A sender that was kept waiting by others may catch up with that much.
constexpr auto kCatchUp = 10ms;

double seconds(Headroom::Clock::duration time) {
    return std::chrono::duration<double>(time).count();
}

} // namespace

ProcessorTicks processorTicks() {
    std::ifstream file("/proc/stat");
    std::string name;
    file >> name;
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in the first two.
    ProcessorTicks result;
    uint64_t value = 0;
    for (int i = 0; i < 8 && file >> value; i++) {
        result.total += value;
        if (i == 3 || i == 4)
            result.idle += value;
    }
    return result;
}

Headroom::Headroom(unsigned idlePercent, std::function<ProcessorTicks()> ticks)
    : limited_(idlePercent > 0), rule_(idlePercent / 100.0), ticks_(std::move(ticks)) {}

void Headroom::take(uint64_t bytes) {
    if (!limited_)
        return;
    std::unique_lock lock(mutex_);
    auto now = Clock::now();
    if (looked_ == Clock::time_point()) {
        looked_ = now;
        last_ = ticks_();
    } else if (now - looked_ >= kLookEvery) {
        look(now);
    }
    sent_ += static_cast<double>(bytes);
    if (rate_ <= 0)
        return;
    due_ = std::max(due_, now - kCatchUp);
    auto mine = due_;
    due_ += std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(static_cast<double>(bytes) / rate_));
    changed_.wait_until(lock, mine, [this] { return lifted_; });
}

void Headroom::look(Clock::time_point now) {
    auto ticks = ticks_();
    double sent = sent_ / seconds(now - looked_);
    looked_ = now;
    sent_ = 0;
    auto before = std::exchange(last_, ticks);
    if (ticks.total <= before.total || ticks.idle < before.idle)
        return; // nothing is known
    double idle =
        static_cast<double>(ticks.idle - before.idle) / static_cast<double>(ticks.total - before.total);
    rate_ = rule_.after(idle, sent);
}

/// What a migration takes grows with what it sends: with too little left idle, it sends less by as much.
double HeadroomRule::after(double idle, double sent) {
    idle_ = idle_ < 0 ? idle : kNewest * idle + (1 - kNewest) * idle_;
    fastest_ = std::max(fastest_, sent);
    double from = rate_ > 0 ? rate_ : sent, least = kLeast * fastest_;
    rate_ = std::clamp(from * (1 + idle_ - wanted_), least, std::max(kMost * sent, least));
    return rate_;
}

void Headroom::lift() noexcept {
    {
        std::lock_guard lock(mutex_);
        lifted_ = true;
    }
    changed_.notify_all();
}

} // namespace pclive
